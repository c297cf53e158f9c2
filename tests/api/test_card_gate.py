"""The gate around card numbers: what it finds, what it leaves alone, and that nothing of what it finds is kept."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from schwifty import IBAN

from api.card_gate import looks_like_card_number, refuse_card_numbers
from api.problems import Problem
from tests.api.talk import refused
from tests.api.world import Shop
from tests.enclave.cards import AMEX, VISA, some_number

SAMPLES = 20_000
# The schemes' own test numbers.
NUMBERS = (
    *(VISA, AMEX, "4000160000000004", "5555555555554444", "2223003122003222", "371449635398431"),
    *("30569309025904", "36227206271667", "3530111333300000", "6011111111111117", "6200000000000005"),
    *("6759649826438453", "6799990100000000019", "2200770239097761"),
)
BEGINNINGS = (
    ("4", 16),
    ("4", 19),
    ("51", 16),
    ("2221", 16),
    ("34", 15),
    ("6011", 16),
    ("3528", 16),
    ("62", 19),
)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_card_number_is_found_however_it_is_grouped(number: str) -> None:
    grouped = " ".join(number[at : at + 4] for at in range(0, len(number), 4))

    for written in (number, grouped, grouped.replace(" ", "-"), f" {number} ", " - ".join(number)):
        assert looks_like_card_number(written), written


@given(seed=st.integers(0, 2**32), beginning=st.sampled_from(BEGINNINGS))
def test_every_number_of_a_scheme_is_found_and_none_with_a_wrong_digit(
    seed: int, beginning: tuple[str, int]
) -> None:
    first, digits = beginning
    number = some_number(Random(seed), first=first, digits=digits)

    assert looks_like_card_number(number)
    assert not looks_like_card_number(number[:-1] + str((int(number[-1]) + 1) % 10))


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-" * 16,
        "4111111111111112",
        "411111111111111",
        "41111111111111111",
        f"card {VISA}",
        f"{VISA}.",
        f"pay_{VISA}{VISA}",
        "0" * 16,
        "1234567812345670",
        "NL91ABNA0417164300",
        "DE89 3704 0044 0532 0130 00",
        "1795339800000000",
        "2026-11-22",
        "+49 30 901820 5544",
        "4006381333931",
        "5018374000211",
    ],
)
def test_other_texts_are_left_alone(text: str) -> None:
    assert not looks_like_card_number(text)


def share(make: Callable[[Random], str]) -> float:
    dice = Random(20_261_122)
    return sum(looks_like_card_number(make(dice)) for _ in range(SAMPLES)) / SAMPLES


def digits(dice: Random, count: int) -> str:
    return "".join(dice.choices("0123456789", k=count))


def day(dice: Random) -> str:
    return f"{dice.randint(20, 29)}{dice.randint(1, 12):02}{dice.randint(1, 28):02}"


@pytest.mark.parametrize(
    ("most", "make"),
    [
        pytest.param(0.0, lambda dice: digits(dice, 13), id="article numbers"),
        pytest.param(0.0, lambda dice: f"49{digits(dice, 11)}", id="telephone numbers"),
        pytest.param(0.0, lambda dice: f"0044{digits(dice, 10)}", id="telephone numbers with 00"),
        pytest.param(0.0, lambda dice: f"20{day(dice)}{digits(dice, 8)}", id="orders by date"),
        pytest.param(0.0, lambda dice: f"xfr_{dice.getrandbits(128):032x}", id="ids"),
        pytest.param(0.0, lambda dice: str(dice.randint(15 * 10**14, 2 * 10**15)), id="microseconds"),
        pytest.param(0.035, lambda dice: digits(dice, 16), id="any sixteen digits"),
        pytest.param(0.025, lambda dice: digits(dice, 19), id="any nineteen digits"),
    ],
)
def test_how_often_other_numbers_are_taken_for_a_card(most: float, make: Callable[[Random], str]) -> None:
    assert share(make) <= most


@pytest.mark.parametrize("country", ["AT", "BE", "DE", "ES", "FR", "IT", "NL", "PT"])
def test_no_iban_is_taken_for_a_card(country: str) -> None:
    dice = Random(20_261_122)
    for _ in range(500):
        iban = IBAN.random(country_code=country, random=dice)
        assert not looks_like_card_number(str(iban))
        assert not looks_like_card_number(iban.formatted)


def looked_through(body: str) -> None:
    refuse_card_numbers(body.encode(), json.loads(body))


@pytest.mark.parametrize(
    "parsed",
    [
        VISA,
        [VISA],
        {"pan": VISA},
        {VISA: "pan"},
        {"a": [{"b": {"c": ["x", VISA]}}]},
        {"a": "4111-1111-1111-1111"},
    ],
)
def test_it_is_found_wherever_it_stands(parsed: Any) -> None:
    for body in (
        json.dumps(parsed),
        json.dumps(parsed, indent=2),
        json.dumps(parsed).replace("4", "\\u0034"),
    ):
        with pytest.raises(Problem) as raised:
            looked_through(body)
        assert raised.value.code == "card_number_in_clear"
        assert VISA not in json.dumps(raised.value.body())


@given(
    parsed=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=40)
        | st.sampled_from(["4" * 13, "1" * 19]),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=20), inner, max_size=4),
    )
)
def test_what_holds_none_passes(parsed: Any) -> None:
    looked_through(json.dumps(parsed))
    looked_through(json.dumps(parsed, ensure_ascii=False))


@pytest.mark.parametrize("amount", [4111111111111111, 5555555555554444])
def test_an_amount_is_no_card(amount: int) -> None:
    looked_through(json.dumps({"amount_minor": amount}))


CARDS_IN = {
    "/v1/parties": {"role": "customer", "name": VISA, "reference": "maria"},
    "/v1/checkouts": {"reference": "4111 1111 1111 1111"},
    "/v1/payouts": {"remittance": AMEX, "card": {"cvv": "123"}},
    "/v1/virtual-ibans": {"party_id": VISA},
    "/v1/sanctions-lists": {"name": VISA},
}


@pytest.mark.parametrize("path", CARDS_IN)
def test_nothing_of_a_request_with_a_card_number_is_kept(shared_shop: Shop, path: str) -> None:
    with shared_shop.at.nothing_changes():
        answer = shared_shop.api.post(path, CARDS_IN[path])

    refused(answer, 422, "card_number_in_clear")
    assert VISA not in answer.text


def test_an_idempotency_key_is_no_place_for_a_card_either(shared_shop: Shop) -> None:
    body = {"role": "customer", "name": "Maria Silva", "reference": "maria"}

    with shared_shop.at.nothing_changes():
        answer = shared_shop.api.post("/v1/parties", body, key=VISA)

    refused(answer, 422, "card_number_in_clear")
