"""Keeps the wrinkles of all heads up with their sliders, bones and animation.

Blender's callbacks only say what heads look like; a timer on the main thread asks the backend and shows its answers.
While rendering, and in background where timers do not fire, the frame handler waits for the frame's own maps.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import bpy
from bpy.app.handlers import persistent

from ..client import BackendDied, ClientError, RequestTimeout, Session
from ..core.wrinkles import LatestWins, MapCache, WrinkleInputs
from .wrinkles import apply_map, has_wrinkles, heads_with_wrinkles, keep_outwards, own_map, pack_map, wrinkle_inputs

TICK_S, BUSY_TICK_S = 0.02, 0.005
"""Seconds between looks for something to do, and for an answer that is expected."""
RENDER_TIMEOUT_S = 60.0
"""A rendered frame waits no longer for the maps of all its heads."""
_RENDER_TRIES, _ANSWER_S = 3, 20.0
"""A backend that does not answer the first try so soon hangs, and is started again."""


class _Live:
    """What the handlers share while the add-on is registered."""

    def __init__(
        self, session: Callable[[], Session], default_weights: Callable[[], str], default_head: Callable[[], str]
    ) -> None:
        self.session, self.default_weights, self.default_head = session, default_weights, default_head
        self.cache = MapCache()
        self.heads = LatestWins(lambda request: session().submit(request), self.cache)
        self.names: dict[int, str] = {}
        self.has_jumped = False  # heads may look like anything: undo, the end of a render
        self.is_rendering = False
        self.is_paused = False
        self.failed_at: float | None = None  # time.time() when the rendered frame's map could not be had
        self.hangs = ""  # why the rest of a render does not wait for the backend any more

    def weights_of(self, obj: bpy.types.Object) -> str:
        """The weights file of a head, "" for the built-in ones; the preferences' when its own has gone.

        The backend checks that they fit.
        """
        own = bpy.path.abspath(obj.deca.weights) if obj.deca.weights else ""
        return own if not own or os.path.isfile(own) else self.default_weights() or own

    def inputs_of(self, obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> WrinkleInputs:
        """What F_d sees of a head; by the preferences' head model when the file of its own has gone."""
        inputs = wrinkle_inputs(obj, depsgraph)
        is_gone = bool(obj.deca.model_file) and not os.path.isfile(inputs.head)
        return replace(inputs, head=self.default_head()) if is_gone else inputs

    def want(self, obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph) -> None:
        """Notes what a head looks like. Never blocks."""
        if obj.deca.wrinkles_live and has_wrinkles(obj):
            self.names[obj.session_uid] = obj.name
            self.heads.want(obj.session_uid, self.inputs_of(obj, depsgraph), self.weights_of(obj))

    def find(self, uid: int) -> bpy.types.Object | None:
        """The head of a session uid, also after it was renamed; None when it was deleted."""
        obj = bpy.data.objects.get(self.names.get(uid, ""))
        if obj is None or obj.session_uid != uid:
            obj = next((other for other in bpy.data.objects if other.session_uid == uid), None)
            if obj is not None:
                self.names[uid] = obj.name
        return obj if obj is not None and has_wrinkles(obj) else None

    def forget(self, uid: int) -> None:
        self.heads.forget(uid)
        self.names.pop(uid, None)


_live: _Live | None = None


def register(
    session: Callable[[], Session], default_weights: Callable[[], str], default_head: Callable[[], str]
) -> None:
    """Installs handlers and timer.

    Args:
        session: Gives the line to the backend.
        default_weights: Gives the weights file of the preferences, or "".
        default_head: Gives the head model of the preferences.
    """
    global _live
    _live = _Live(session, default_weights, default_head)
    for handlers, handler in _HANDLERS:
        handlers.append(handler)
    bpy.app.timers.register(_tick, first_interval=TICK_S, persistent=True)


def unregister() -> None:
    """Removes them; what is under way is given up."""
    global _live
    if bpy.app.timers.is_registered(_tick):
        bpy.app.timers.unregister(_tick)
    for handlers, handler in reversed(_HANDLERS):
        handlers.remove(handler)
    if _live is not None:
        _live.heads.clear()
    _live = None


@contextmanager
def paused() -> Iterator[None]:
    """Heads keep their maps inside the block, whatever Blender evaluates: nothing that is seen there stays."""
    live = _live
    if live is not None:
        live.is_paused = True
    try:
        yield
    finally:
        if live is not None:
            live.is_paused = False


def set_cache_bytes(max_bytes: int) -> None:
    """How much memory maps that were decoded before may take."""
    if _live is not None:
        _live.cache.resize(max_bytes)


def tick() -> None:
    """Sends requests and shows the maps that have come. Never blocks; the timer's work."""
    if _live is None or _live.is_rendering:
        return
    if _live.has_jumped:
        _live.has_jumped = False
        _live.heads.invalidate()
        depsgraph = bpy.context.evaluated_depsgraph_get()
        for obj in heads_with_wrinkles(list(bpy.data.objects)):
            _live.want(obj, depsgraph)
    for uid, map_NN in _live.heads.step():
        obj = _live.find(uid)
        if obj is None or not obj.deca.wrinkles_live:
            _live.forget(uid)
        else:
            apply_map(obj, map_NN)


def pause_s() -> float:
    """Seconds until the next tick."""
    return TICK_S if _live is None or (_live.heads.is_idle and not _live.has_jumped) else BUSY_TICK_S


def refresh(obj: bpy.types.Object) -> None:
    """Has a head's map made again where something changed that Blender does not tell of (its detail code)."""
    if _live is not None:
        _live.want(obj, bpy.context.evaluated_depsgraph_get())


def update_now(
    obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph | None = None, timeout_s: float = RENDER_TIMEOUT_S
) -> bool:
    """Shows the map of what the head looks like now; waits for it.

    Args:
        obj: A head.
        depsgraph: Where to read what it looks like; by default the current view layer's, brought up to date.
        timeout_s: How long an answer may take.

    Returns:
        False when the object has no wrinkles.

    Raises:
        ClientError: The backend did not answer with a map.
    """
    if _live is None or not has_wrinkles(obj):
        return False
    inputs = _live.inputs_of(obj, depsgraph or bpy.context.evaluated_depsgraph_get())
    weights = _live.weights_of(obj)
    map_NN = _live.cache.get(inputs.key)
    if map_NN is None:
        map_NN = _live.session().request(inputs.request(weights), timeout=timeout_s).displacement
        _live.cache.put(inputs.key, map_NN)
    apply_map(obj, map_NN)
    _live.names[obj.session_uid] = obj.name
    _live.heads.has_applied(obj.session_uid, inputs, weights)
    return True


def inputs_of(obj: bpy.types.Object) -> WrinkleInputs:
    """What F_d sees of a head with wrinkles as the current view layer shows it, brought up to date."""
    depsgraph = bpy.context.evaluated_depsgraph_get()
    return _live.inputs_of(obj, depsgraph) if _live is not None else wrinkle_inputs(obj, depsgraph)


def weights_of(obj: bpy.types.Object) -> str:
    """Path of the weights file that a head's wrinkles are decoded with, or "" for the built-in ones."""
    return _live.weights_of(obj) if _live is not None else ""


def is_behind(obj: bpy.types.Object) -> bool:
    """Whether a head does not show its current wrinkles yet."""
    return _live is not None and (_live.has_jumped or _live.heads.is_behind(obj.session_uid))


def error(obj: bpy.types.Object) -> str:
    """Why the head's wrinkles could not be made, or ""."""
    return _live.heads.error(obj.session_uid) if _live is not None else ""


# ---- what Blender calls ----------------------------------------------------------------------------------------------


def _tick() -> float:
    tick()
    return pause_s()


@persistent
def _on_update(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """Something moved: heads whose geometry was evaluated again are read. Cheap in scenes of many objects."""
    if _live is None or _live.is_rendering or _live.is_paused:
        return
    for update in depsgraph.updates:
        if update.is_updated_geometry and isinstance(update.id, bpy.types.Object) and update.id.type == "MESH":
            obj = update.id.original
            assert isinstance(obj, bpy.types.Object)
            if obj.deca.is_head:
                keep_outwards(obj)
                _live.want(obj, depsgraph)


@persistent
def _on_frame(scene: bpy.types.Scene, depsgraph: bpy.types.Depsgraph) -> None:
    """A new frame: playback only notes it, rendering and background wait for its maps."""
    if _live is None or _live.is_paused:
        return
    is_render = depsgraph.mode == "RENDER"
    if _live.is_rendering and not is_render:
        return  # the window goes on while frames are rendered, and heads show the rendered frame's maps
    heads = [obj for obj in heads_with_wrinkles(list(scene.objects)) if obj.deca.wrinkles_live]
    if not (is_render or bpy.app.background):
        for obj in heads:
            _live.want(obj, depsgraph)
        return
    deadline = time.monotonic() + RENDER_TIMEOUT_S
    for obj in heads:
        try:
            _wait_for_map(obj, depsgraph, deadline)
        except ClientError as problem:
            if is_render:
                _live.failed_at = time.time()
            print(
                f"DECA: frame {scene.frame_current}: the wrinkles of {obj.name} could not be made: {problem}"
                " Turn its live wrinkles off to render it as it is.",
                file=sys.stderr,
                flush=True,
            )


def _wait_for_map(obj: bpy.types.Object, depsgraph: bpy.types.Depsgraph, deadline: float) -> None:
    """Shows the frame's map. A backend that dies is started again, and so is one that does not answer.

    Raises:
        ClientError: There is no map; by the deadline at the latest.
    """
    assert _live is not None
    problem: ClientError | None = None
    for attempt in range(_RENDER_TRIES):
        if _live.hangs:
            raise RequestTimeout(_live.hangs)
        rest_s = max(0.0, deadline - time.monotonic())
        try:
            update_now(obj, depsgraph, rest_s if attempt else min(_ANSWER_S, rest_s))
            return
        except BackendDied as reason:
            problem = reason
        except RequestTimeout as reason:
            problem = reason
            _live.session().close(grace_s=0.0)
    assert problem is not None
    if isinstance(problem, RequestTimeout) and _live.is_rendering:
        _live.hangs = f"The backend has not answered for {RENDER_TIMEOUT_S:g} seconds at an earlier frame."
    raise problem


@persistent
def _on_render_start(scene: bpy.types.Scene, _: object = None) -> None:
    if _live is None:
        return
    _live.is_rendering, _live.failed_at, _live.hangs = True, None, ""
    for obj in heads_with_wrinkles(list(bpy.data.objects)):
        own_map(obj)  # now, because no datablocks should be made while a frame is rendered


@persistent
def _on_render_end(scene: bpy.types.Scene, _: object = None) -> None:
    """The heads show the last frame's maps; the timer puts the current frame's back."""
    if _live is not None:
        _live.is_rendering, _live.hangs, _live.has_jumped = False, "", True


@persistent
def _on_render_write(scene: bpy.types.Scene, _: object = None) -> None:
    """No handler can stop a render; so a frame with wrong wrinkles is at least not kept."""
    if _live is None or _live.failed_at is None:
        return
    render = scene.render
    still = bpy.path.abspath(render.filepath)
    for path in (render.frame_path(frame=scene.frame_current), still, still + render.file_extension):
        # Only what this frame has just written: file systems keep times to two seconds at worst.
        if os.path.isfile(path) and os.path.getmtime(path) > _live.failed_at - 2:
            os.remove(path)
            print(f"DECA: {path} was removed, because its wrinkles are wrong.", file=sys.stderr, flush=True)
    _live.failed_at = None


@persistent
def _on_undo(scene: bpy.types.Scene, _: object = None) -> None:
    """Undo and redo restore sliders, but not always pixels."""
    if _live is not None:
        _live.has_jumped = True


@persistent
def _on_load(_: object = None, __: object = None) -> None:
    if _live is not None:
        _live.heads.clear()
        _live.names.clear()
        _live.is_rendering = _live.has_jumped = False


@persistent
def _on_save(_: object = None, __: object = None) -> None:
    for obj in heads_with_wrinkles(list(bpy.data.objects)):
        pack_map(obj)


_HANDLERS = (
    (bpy.app.handlers.depsgraph_update_post, _on_update),
    (bpy.app.handlers.frame_change_post, _on_frame),
    (bpy.app.handlers.render_init, _on_render_start),
    (bpy.app.handlers.render_write, _on_render_write),
    (bpy.app.handlers.render_complete, _on_render_end),
    (bpy.app.handlers.render_cancel, _on_render_end),
    (bpy.app.handlers.undo_post, _on_undo),
    (bpy.app.handlers.redo_post, _on_undo),
    (bpy.app.handlers.load_post, _on_load),
    (bpy.app.handlers.save_pre, _on_save),
)
