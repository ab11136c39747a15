"""The add-on's side of the line: finds an interpreter, starts and supervises the backend, sends requests. No bpy.

session = Session(LaunchSettings(user_folder=..., log_folder=...))
reply = session.request(ReconstructPhoto("photo.jpg"), on_progress=print)     # or submit(...) and poll the job
"""

from __future__ import annotations

from .errors import (
    BackendDied,
    ClientError,
    InstallError,
    InterpreterError,
    RequestCancelled,
    RequestFailed,
    RequestTimeout,
)
from .graphics_card import has_nvidia_card
from .installer import Installation, InstallState
from .interpreter import Interpreter, ManagedEnvironment, find_interpreter, has_interpreter, probe
from .launch import Launch, LaunchSettings
from .session import Job, Session, State

__all__ = [
    "BackendDied",
    "ClientError",
    "InstallError",
    "InstallState",
    "Installation",
    "Interpreter",
    "InterpreterError",
    "Job",
    "Launch",
    "LaunchSettings",
    "ManagedEnvironment",
    "RequestCancelled",
    "RequestFailed",
    "RequestTimeout",
    "Session",
    "State",
    "find_interpreter",
    "has_interpreter",
    "has_nvidia_card",
    "probe",
]
