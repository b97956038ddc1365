"""The reply as a template."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatify_stream.config.template import DEFAULT_TEMPLATE, reply_template

HINT = "; write {name} for the message, and {{ or }} for a brace"


@pytest.mark.parametrize(
    ("template", "reply"),
    [
        ("Hello {name}", "Hello Ada"),
        ("{name}", "Ada"),
        ("{name}, {name} and {name}", "Ada, Ada and Ada"),
        ("{name}{name}", "AdaAda"),
        ("no field", "no field"),
        ("", ""),
        ("{{name}}", "{name}"),
        ("{{{name}}}", "{Ada}"),
        ("}}{name}{{", "}Ada{"),
        ("你好，{name}！", "你好，Ada！"),
        ("🎉 {name}\n%s $name", "🎉 Ada\n%s $name"),
    ],
)
def test_reply(template: str, reply: str) -> None:
    """The message replaces each {name}; doubled braces are braces."""
    assert reply_template(template)("Ada") == reply


@pytest.mark.parametrize(
    "message", ["", "{name}", "{{name}}", "{", "}", "{0}", "{name.__class__}", "小明", "\0", "%s"]
)
def test_message_is_not_expanded(message: str) -> None:
    """Braces in the message are not expanded."""
    assert reply_template("{name}|{name}")(message) == f"{message}|{message}"


@pytest.mark.parametrize(
    "field",
    [
        *("{}", "{0}", "{nam}", "{Name}", "{ name }", "{名}", "{name.x}", "{name[0]}"),
        *("{name!r}", "{name!s}", "{name:>5}", "{name:{width}}", "{name!r:>5}"),
    ],
)
@pytest.mark.parametrize("around", ["{}", "Hello {{name}} and {}"])
def test_other_field(field: str, around: str) -> None:
    """Any other field is rejected, and the error shows it."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the whole text is compared
        reply_template(around.format(field))
    assert str(caught.value) == f"unknown field {field}{HINT}"


@pytest.mark.parametrize(
    "template", ["{", "}", "a{", "a}b", "{name", "name}", "{name}}", "{{name}"]
)
def test_lone_brace(template: str) -> None:
    """A brace without its partner is refused, with how to write it."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the end of the text is compared
        reply_template(template)
    assert str(caught.value).endswith(HINT)
    assert len(str(caught.value)) > len(HINT)


def test_default() -> None:
    """The default reply greets."""
    assert DEFAULT_TEMPLATE == "Hello {name}"


@settings(deadline=None)
@given(parts=st.lists(st.text(), min_size=1), message=st.text())
def test_any_text(parts: list[str], message: str) -> None:
    """Any text with doubled braces appears unchanged around the messages."""
    template = "{name}".join(part.replace("{", "{{").replace("}", "}}") for part in parts)
    assert reply_template(template)(message) == message.join(parts)
