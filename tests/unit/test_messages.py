"""The troubleshooting pages know every error message of the program, and its cause."""

import ast

from docs import messages
from docs.causes import read_pages
from docs.messages import find_messages


def test_the_troubleshooting_pages_know_every_message() -> None:
    """Each is on the page that it belongs on, and no message is there that the program does not have."""
    pages = read_pages()
    known = {message: name for name, page in pages.items() for entry in page.entries for message in entry.messages}
    found = find_messages()
    assert len(found) > 250
    assert {message: page for message, page in found.items() if message not in known} == {}, messages.ADVICE
    assert [message for message in known if message not in found] == [], messages.ADVICE


def test_every_message_has_a_cause() -> None:
    """A message alone is what the reader has seen already."""
    entries = [entry for page in read_pages().values() for entry in page.entries]
    assert [entry.messages for entry in entries if len(entry.cause) < 20] == []


def test_the_finder_sees_every_form_of_a_message_in_python() -> None:
    """The pages rest on it, so that it must not miss a message."""
    source = """
ADVICE = "name another"
class Reader:
    def read(self, name):
        '''Not this; it is a docstring.'''
        if name:
            raise MeshError(f"reader: {name} is wrong; " + ("correct it" if self else ADVICE))
        self.problems[name] = "has no words"
        typer.Option(help="only this; may be given again")
        announce("a step; no error")
        run(f"umask 077; mkdir {name} && echo done")
        yield f"{name}: unknown field; remove it"
        run("command -v dd >/dev/null || { echo 'no dd on this host' >&2; exit 1; }; dd")
        if not name:
            return Arrival(fault=f"nothing of {name} arrived")
        reply(HTTPStatus.OK, "the page itself")
        reply(HTTPStatus.FORBIDDEN, "use another address")
"""
    assert set(messages.python_messages(source)) == {
        "reader: … is wrong; correct it",
        "reader: … is wrong; name another",
        "has no words",
        "…: unknown field; remove it",
        "no dd on this host",
        "nothing of … arrived",
        "use another address",
    }


def test_the_finder_sees_every_form_of_a_message_in_shell() -> None:
    """Also what awk words and `fail` only prints."""
    source = """
        x || fail "names: $file cannot be written at $(date $(zone)); is the disk full?"
        said=$(awk '{ print "has the peer " $1 ", which is unknown; remove it"; exit }')
    """
    assert list(messages.shell_messages(source)) == [
        "names: … cannot be written at …; is the disk full?",
        "has the peer …, which is unknown; remove it",
    ]


def test_a_template_is_every_text_that_it_can_be() -> None:
    """A word that is chosen at run time is known before, so both texts are on the page."""
    node = ast.parse('f\'{a} is {"up" if b else "down"} now\'').body[0]
    assert isinstance(node, ast.Expr)
    assert messages.templates(node.value, {}) == {"… is up now", "… is down now"}


def test_what_any_command_may_say_of_a_connection_advises_no_up() -> None:
    """After a failed `adopt` it would be the one thing not to do; what failed is to be run again, whatever it was."""
    remote = [message for message, page in find_messages().items() if page == "ssh"]
    assert [message for message in remote if "pulumi up again" in message] == []
    assert "closed the SSH connection (…); run it again" in remote
