"""Draw the screen: messages, status, and the typed line.

prompt_toolkit draws all of it from the model, so that incoming lines never tear the line that is
being typed. The screen decides nothing: it calls `submit` with typed lines.
"""

from collections.abc import Callable
from functools import partial

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import Condition, FilterOrBool, has_completions
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import DummyHistory, History
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.layout import (
    BufferControl,
    CompletionsMenu,
    ConditionalContainer,
    Dimension,
    Float,
    FormattedTextControl,
    HSplit,
    Layout,
    VSplit,
    Window,
    WindowAlign,
)
from prompt_toolkit.layout.processors import BeforeInput, PasswordProcessor
from prompt_toolkit.output import Output
from prompt_toolkit.utils import get_cwidth

from app.terminal.model import Model, Room
from app.terminal.screen.appearance import STYLE
from app.terminal.screen.completion import ChatCompleter
from app.terminal.screen.drawing import WholeRows, put_cursor
from app.terminal.screen.pane import Pane
from app.terminal.screen.status import place, title, user, weather

_REDRAW_SECONDS_MIN = 0.05  # between two drawings: a busy room costs a sixth of a core at 200x50
_TYPED_ROWS_MAX = 5  # of a long line, or of several that were pasted
_MENU_ROWS_MAX = 8
_PASTED_LINES_MAX = 20  # more are said only after a question
_MANY = "That is {} lines. Return again says them, each by itself; Ctrl-C gives them up."


class Screen:
    """Draws a model, and passes typed lines on."""

    def __init__(
        self,
        model: Model,
        history: History,
        submit: Callable[[str], None],
        on_top: Callable[[Room], None],
        *,
        input: Input | None = None,  # noqa: A002 (prompt_toolkit's name for it)
        output: Output | None = None,
    ) -> None:
        """Make a screen of a model.

        `submit` is called with each line, `on_top` with a room whose earlier messages are wanted.
        """
        self._model = model
        self._submit = submit
        self._pane = Pane(model, on_top)
        self._questions: list[str] = []  # their answers are hidden
        self._answers: list[str] = []
        self._then: Callable[..., None] = lambda: None
        self._is_held = False  # typed text is neither a line nor an answer
        self._asked_about = ""  # a long paste, which needs Return twice
        self._typed = Buffer(
            history=history,
            completer=ChatCompleter(model),
            multiline=False,
            accept_handler=self._accept,
        )
        self._hidden = Buffer(
            history=DummyHistory(), accept_handler=self._accept_hidden, multiline=False
        )
        self.application: Application[None] = Application(
            layout=Layout(self._container(), focused_element=self._typed),
            key_bindings=self._keys(),
            style=STYLE,
            full_screen=True,
            after_render=put_cursor,
            enable_page_navigation_bindings=False,
            min_redraw_interval=_REDRAW_SECONDS_MIN,
            input=input,
            output=output,
        )

    @property
    def is_idle(self) -> bool:
        """Return whether nothing is being typed or asked. A question would interrupt it."""
        return not (self._typed.text or self._questions)

    @property
    def is_asking(self) -> bool:
        """Return whether a hidden answer is waited for."""
        return bool(self._questions) and not self._is_held

    def refresh(self) -> None:
        """Draw the changes soon."""
        self.application.invalidate()

    def leave(self, error: Exception | None = None) -> None:
        """End the screen. With an error, `run_async` raises it."""
        if self.application.is_running and not self.application.is_done:
            self.application.exit(**({"exception": error} if error else {}))

    def ring(self) -> None:
        """Ring the terminal's bell."""
        self.application.output.bell()

    def ask_hidden(self, questions: list[str], then: Callable[..., None]) -> None:
        """Ask for lines that are hidden while typed. Then `then` is called with them."""
        self._questions, self._answers, self._then = list(questions), [], then
        self._is_held = False
        self.application.layout.focus(self._hidden)

    def hold(self, text: str) -> None:
        """Show a text instead of the line, and ignore typing.

        Until a question is asked, or `release`.
        """
        self._questions, self._is_held = [text], True
        self.application.layout.focus(self._hidden)

    def release(self) -> None:
        """Take typed lines again, after `hold`."""
        if self._is_held:
            self._is_held = False
            self._questions.clear()
            self._hidden.reset()
            self.application.layout.focus(self._typed)

    def _container(self) -> WholeRows:
        is_asking = Condition(lambda: bool(self._questions))
        body = HSplit(
            [
                _bar("class:title", lambda: title(self._model), lambda: user(self._model)),
                Window(self._pane, always_hide_cursor=True),
                _bar("class:status", self._place, lambda: weather(self._model)),
                ConditionalContainer(self._input_window(self._typed), ~is_asking),
                ConditionalContainer(self._hidden_window(), is_asking),
            ]
        )
        menu = CompletionsMenu(max_height=_MENU_ROWS_MAX, scroll_offset=1)
        return WholeRows(body, [Float(menu, xcursor=True, ycursor=True)])

    def _place(self) -> StyleAndTextTuples:
        columns = self.application.output.get_size().columns
        weather_columns = sum(get_cwidth(text) for _, text, *_ in weather(self._model))
        return place(self._model, columns - weather_columns)

    def _input_window(self, buffer: Buffer) -> Window:
        control = BufferControl(buffer, input_processors=[BeforeInput("> ", "class:prompt")])
        height = Dimension(min=1, max=_TYPED_ROWS_MAX)
        return Window(control, height=height, wrap_lines=True, dont_extend_height=True)

    def _hidden_window(self) -> Window:
        question = BeforeInput(lambda: f"{self._questions[0]}: ", "class:prompt")
        control = BufferControl(self._hidden, input_processors=[PasswordProcessor(), question])
        return Window(control, height=1)

    def _accept(self, buffer: Buffer) -> bool:
        lines = [line for line in buffer.text.splitlines() if line.strip()]
        is_pasted = "\n" in buffer.text
        if len(lines) > _PASTED_LINES_MAX and buffer.text != self._asked_about:
            self._asked_about = buffer.text
            self._model.tell([_MANY.format(len(lines))])
            return True
        self._asked_about = ""
        for line in lines:
            # A pasted line is text, not a command: two slashes stand for one.
            self._submit(f"/{line}" if is_pasted and line.startswith("/") else line)
        self._pane.go_to_end()
        return False  # the line is empty again

    def _paste(self, data: str) -> None:
        """Take in a paste. A command, or a hidden answer, takes one line of it."""
        text = data.replace("\r\n", "\n").replace("\r", "\n")
        if self._questions:
            self._hidden.insert_text(text.partition("\n")[0])
        elif self._typed.text.startswith("/"):
            self._typed.insert_text(" ".join(text.split("\n")).strip())
        else:
            self._typed.insert_text(text)

    def give_back(self, line: str) -> None:
        """Put a refused line back, unless another is typed."""
        if not self._typed.text:
            self._typed.text = line
            self._typed.cursor_position = len(line)

    def _accept_hidden(self, buffer: Buffer) -> bool:
        if self._is_held:
            return False
        self._answers.append(buffer.text)
        self._questions.pop(0)
        if not self._questions:
            self.application.layout.focus(self._typed)
            self._then(*self._answers)
        return False

    def _keys(self) -> KeyBindings:
        keys = KeyBindings()
        model, pane = self._model, self._pane

        def on(*names: str, do: Callable[[], None], when: FilterOrBool = True) -> None:
            keys.add(*names, filter=when)(lambda event: do())

        on("pageup", do=lambda: pane.page(1))
        on("pagedown", do=lambda: pane.page(-1))
        on("escape", "end", do=pane.go_to_end)
        on("c-n", do=lambda: model.show_next(1), when=~has_completions)
        on("c-p", do=lambda: model.show_next(-1), when=~has_completions)
        on("escape", "a", do=model.show_unread)
        on("c-z", do=lambda: self.application.suspend_to_background())
        keys.add("<bracketed-paste>")(lambda event: self._paste(event.data))
        on("c-c", do=self._clear)
        on("c-d", do=self._delete_or_leave)
        for number in range(10):
            on("escape", str(number), do=partial(model.show_number, number))
        return keys

    def _delete_or_leave(self) -> None:
        if self._typed.text:
            self._typed.delete()
        else:
            self._submit("/quit")

    def _clear(self) -> None:
        """Give up the line or the questions."""
        if not self._typed.text and not self._questions:
            self._model.tell(["Type /quit, or Ctrl-D, to leave."])
        self._typed.reset()
        self._hidden.reset()
        self._questions.clear()
        self._is_held = False
        self.application.layout.focus(self._typed)


def _bar(
    style: str,
    left: Callable[[], StyleAndTextTuples],
    right: Callable[[], StyleAndTextTuples] = list,
) -> VSplit:
    """Return one row with a text at either end."""
    return VSplit(
        [
            Window(FormattedTextControl(left), style=style),
            Window(
                FormattedTextControl(right),
                style=style,
                align=WindowAlign.RIGHT,
                dont_extend_width=True,
            ),
        ],
        height=1,
    )
