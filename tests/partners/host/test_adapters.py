"""An adapter is held against the contract when it is loaded, whoever wrote it."""

from dataclasses import replace

import pytest

from partners.clearbank.adapter import ClearBank
from partners.clearbank.manifest import MANIFEST
from partners.contract import PROTOCOLS, Manifest, Operation, Request, VirtualIban
from partners.host.adapters import AdapterUnusable, adapter_names, faults_of, load_adapter


class Declaring(ClearBank):
    """ClearBank with other operations in its manifest."""

    def __init__(self, *operations: Operation) -> None:
        self._manifest = replace(MANIFEST, operations=frozenset(operations))

    def manifest(self) -> Manifest:
        return self._manifest


class Forgetful(ClearBank):
    """Has everything but one method."""

    explain = None  # type: ignore[assignment]  # what is tried


class OtherwiseAsked(ClearBank):
    """Takes the owner's name by another word."""

    def virtual_iban_request(self, *, account_id: str, holder: str) -> Request:  # type: ignore[override]  # what is tried
        return super().virtual_iban_request(account_id=account_id, owner=holder)


class Silent(ClearBank):
    """Declares nothing at all."""

    def manifest(self) -> Manifest:
        return None  # type: ignore[return-value]  # what is tried


def test_installed_adapters_are_found_and_load() -> None:
    assert "clearbank" in adapter_names()
    for name in adapter_names():
        assert load_adapter(name).manifest().adapter == name


def test_adapter_that_no_package_brings_is_refused_and_those_that_there_are_named() -> None:
    with pytest.raises(AdapterUnusable, match=r"0 installed packages bring it .*clearbank"):
        load_adapter("clearbonk")


def test_method_that_is_missing_is_named() -> None:
    assert faults_of(Forgetful(), name="clearbank") == ("explain is missing",)


def test_operation_that_is_declared_has_its_methods() -> None:
    faults = faults_of(Declaring(Operation.VIRTUAL_IBAN, Operation.BATCH), name="clearbank")

    assert "it declares batch, but prepare_batch is missing" in faults
    assert "it declares batch, but interpret_batch is missing" in faults


def test_operation_that_an_adapter_has_is_declared() -> None:
    (fault,) = faults_of(Declaring(*MANIFEST.operations - {Operation.VIRTUAL_IBAN}), name="clearbank")

    assert fault == "it has the methods of VirtualIbans, and does not declare virtual_iban"


def test_method_with_other_parameters_is_no_method_of_the_contract() -> None:
    (fault,) = faults_of(OtherwiseAsked(), name="clearbank")

    assert fault == (
        "it declares virtual_iban, but virtual_iban_request takes other parameters than the contract says"
    )


def test_manifest_has_the_name_by_which_the_adapter_is_found() -> None:
    assert faults_of(ClearBank(), name="clearbunk") == ("its manifest calls it 'clearbank'",)


def test_adapter_without_a_manifest_is_none() -> None:
    assert faults_of(Silent(), name="clearbank") == ("manifest gives something that is no Manifest",)
    assert len(faults_of(VirtualIban("a", "b"), name="clearbank")) >= len(["manifest", "prepare"])


def test_every_operation_has_its_protocol() -> None:
    assert set(PROTOCOLS) == set(Operation)
