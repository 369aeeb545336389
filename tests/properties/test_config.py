"""What holds of reading any stack file, however broken."""

import copy
import re
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from mesh.config.adopted import read_adopted
from mesh.config.interface_name import interface_name_fault, is_interface_name
from mesh.config.models import Configuration
from mesh.config.reader import read_configuration
from mesh.errors import ConfigurationError
from tests.strategies import SECRETS, garbage, stack_files

StackFile = tuple[dict[str, Any], dict[str, Any]]
# `<where>: <what is wrong>; <what to do>`, on one line.
FAULT = re.compile(r"[^\n]+?: [^\n]+; [^\n]+")


# What may be in the name of a unit of systemd without being escaped (src/basic/unit-name.c, VALID_CHARS).
_UNIT_NAME = re.compile(r"[0-9A-Za-z:\-_.\\]+")
# What wg-quick takes as the name of an interface (src/wg-quick/linux.bash).
_WG_QUICK = re.compile(r"[a-zA-Z0-9_=+.-]{1,15}")


def check_refusal(error: ConfigurationError) -> None:
    """Fail unless every fault is worded as it should be and none repeats a secret."""
    note(str(error))
    assert error.faults
    assert all(FAULT.fullmatch(fault) for fault in error.faults)
    for secret in SECRETS:
        assert secret not in str(error)
        # The part between the lines of a key file is as secret as the whole.
        assert "b3BlbnNz" not in str(error)


def holders(value: object) -> list[Any]:
    """Return every mapping and list inside `value` that has an entry to replace."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    found = [value] if isinstance(value, dict | list) and value else []
    return [*found, *(holder for item in inner for holder in holders(item))]


@given(garbage, garbage)
def test_garbage_is_refused_in_words(hosts: object, interfaces: object) -> None:
    """Whatever the file holds is read or refused, with no other exception and no secret."""
    try:
        assert isinstance(read_configuration(hosts, interfaces), Configuration)
    except ConfigurationError as error:
        check_refusal(error)


@given(stack_files(), garbage, st.data())
def test_a_file_with_one_entry_spoilt_is_refused_in_words(
    stack_file: StackFile, spoilt: object, data: st.DataObject
) -> None:
    """A secret pasted into any place of a good file stays out of the report."""
    file = list(copy.deepcopy(stack_file))
    holder = data.draw(st.sampled_from(holders(file)))
    place = data.draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
    holder[place] = spoilt
    try:
        assert isinstance(read_configuration(file[0], file[1]), Configuration)
    except ConfigurationError as error:
        check_refusal(error)


@given(stack_files(), st.sampled_from(SECRETS), st.data())
def test_an_unknown_field_is_refused_wherever_it_is(stack_file: StackFile, secret: str, data: st.DataObject) -> None:
    """A field that nobody reads is a slip of the pen, and its value is not shown."""
    hosts, _ = stack_file
    host = data.draw(st.sampled_from(sorted(hosts)))
    holder = data.draw(st.sampled_from([hosts[host], hosts[host]["ssh"]]))
    holder["privateKey"] = secret
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(*stack_file)
    check_refusal(caught.value)
    (fault,) = caught.value.faults
    assert ".privateKey: unknown field; " in fault


@given(stack_files(), garbage)
def test_adopted_garbage_is_refused_in_words(stack_file: StackFile, adopted: object) -> None:
    """The section that holds keys gives away none of them."""
    try:
        read_adopted(adopted, read_configuration(*stack_file))
    except ConfigurationError as error:
        check_refusal(error)


@given(stack_files())
def test_a_valid_file_reads_the_same_twice(stack_file: StackFile) -> None:
    """Reading changes nothing in the values that it is given."""
    before = copy.deepcopy(stack_file)
    first = read_configuration(*stack_file)
    assert stack_file == before
    assert read_configuration(*stack_file) == first


@given(st.one_of(st.text(max_size=20), st.from_regex(_WG_QUICK, fullmatch=True)))
def test_every_interface_name_is_one_for_the_kernel_wg_quick_and_systemd(name: str) -> None:
    """What is refused is refused in words."""
    if is_interface_name(name):
        # As dev_valid_name in the kernel's net/core/dev.c.
        assert 0 < len(name.encode()) < 16
        assert name not in {".", ".."}
        assert not set(name) & set("/: \t\n\v\f\r")
        assert _WG_QUICK.fullmatch(name)
        assert _UNIT_NAME.fullmatch(name)
        # No command takes it for an option, and no firewall for a pattern.
        assert not name.startswith("-")
        assert not set(name) & set("+*=@%")
    else:
        assert FAULT.fullmatch(f"mesh:interfaces: {interface_name_fault(name)}")
