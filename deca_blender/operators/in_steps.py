"""What operators share whose work goes on beside the window's events: a timer, progress, Esc, and leaving no trace."""

from __future__ import annotations

from typing import Any

import bpy


class InSteps:
    """An operator that works a moment at every tick of a timer.

    Subclasses give `_advance`, `_interrupt` and `_drop`, and call `start`. Whatever ends the operator (its work, Esc,
    a window that closes, an exception) leaves no timer, no progress and no text in the status bar behind.
    """

    poll_s = 0.05
    """Seconds between two ticks."""
    holds_window = False
    """Whether the window's other events wait: what is worked on must not move meanwhile."""

    bl_label: str
    report: Any
    _timer: Any = None

    def start(self, context: bpy.types.Context) -> set[str]:
        """Begins to work beside the window's events; how `invoke` or `execute` ends."""
        manager = context.window_manager
        manager.progress_begin(0, 1000)
        self._timer = manager.event_timer_add(self.poll_s, window=context.window)
        manager.modal_handler_add(self)
        return {"RUNNING_MODAL"}

    def _advance(self, context: bpy.types.Context) -> set[str] | None:
        """Works for a moment, and never waits; how the operator ends, None while there is more to do."""
        raise NotImplementedError

    def _interrupt(self, context: bpy.types.Context) -> set[str] | None:
        """The user has pressed Esc; how the operator ends, None where `_advance` sees the end of what is asked to."""
        raise NotImplementedError

    def _drop(self) -> None:
        """Lets go of the work."""
        raise NotImplementedError

    def tell(self, context: bpy.types.Context, text: str, fraction: float | None = None) -> None:
        """Shows how far the work is: in the status bar, and, where that is known, at the pointer."""
        context.workspace.status_text_set(text)
        if fraction is not None:
            context.window_manager.progress_update(1000 * fraction)

    def modal(self, context: bpy.types.Context, event: bpy.types.Event) -> set[str]:
        result = None
        try:
            if event.type == "ESC" and event.value == "PRESS":
                result = self._interrupt(context)
            elif event.type == "TIMER":
                result = self._advance(context)
        except BaseException:
            self.cancel(context)
            raise
        if result is None:
            return {"RUNNING_MODAL"} if self.holds_window else {"PASS_THROUGH"}
        self._clear(context)
        return result

    def cancel(self, context: bpy.types.Context) -> None:
        """Blender ends the operator, for instance because the window closes, or the file browser before it began."""
        if self._timer is not None:
            self._drop()
            self._clear(context)

    def _clear(self, context: bpy.types.Context) -> None:
        context.window_manager.event_timer_remove(self._timer)
        self._timer = None
        context.window_manager.progress_end()
        context.workspace.status_text_set(None)
