"""Statements as banks get them wrong, and batch bookings, which they get right."""

from decimal import Decimal

from tests.partners.sandbox.customers import OUTSIDE_IBAN, fresh_id, pay_in
from tests.partners.sandbox.scenes import Scene, stmt

DAY = {"startDateTimeUtc": "2031-03-03T23:00:00Z", "endDateTimeUtc": "2031-03-04T23:00:00Z"}
NEXT_DAY = {"startDateTimeUtc": "2031-03-04T23:00:00Z", "endDateTimeUtc": "2031-03-05T23:00:00Z"}


def coming_in(iban: str, amount: int, **changes: object) -> dict[str, object]:
    return {
        "creditorIban": iban,
        "amount": amount,
        "endToEndId": fresh_id("IN"),
        "reference": "Order 12",
        "debtorName": "Ben Silva",
        "debtorIban": OUTSIDE_IBAN,
        **changes,
    }


def test_batch_is_one_entry_with_all_its_parts(scene: Scene) -> None:
    iban = scene.customer.iban
    parts = [coming_in(scene.customer.virtual_iban, amount) for amount in (1, 2, 3, 4)]
    batch = scene.client.control("simulations/incoming-batches", {"payments": parts})
    scene.set_clock("2031-03-05T09:00:00Z")

    [page] = scene.statement(DAY)

    entry = f"{stmt(iban)}/c:Ntry[c:AcctSvcrRef='{batch['batchId']}']"
    assert page.text(f"{entry}/c:Amt") == "10.00"
    assert page.text(f"{entry}/c:NtryDtls/c:Btch/c:NbOfTxs") == "4"
    assert page.texts(f"{entry}/c:NtryDtls/c:TxDtls/c:Amt") == ["1.00", "2.00", "3.00", "4.00"]
    assert page.texts(f"{entry}/c:NtryDtls/c:TxDtls/c:Refs/c:EndToEndId") == [
        part["endToEndId"] for part in parts
    ]
    assert page.movements(iban) == [Decimal(500), Decimal(10)]
    assert page.balance(iban, "CLBD") == 510


def test_batch_is_never_cut_by_a_page(scene: Scene) -> None:
    iban = scene.customer.iban
    for _ in range(2):
        pay_in(scene.client, scene.customer, amount="7.00")
    parts = [coming_in(iban, 1) for _ in range(5)]
    scene.client.control("simulations/incoming-batches", {"payments": parts})
    scene.set_clock("2031-03-05T09:00:00Z")

    pages = scene.statement(DAY)

    assert [page.movements(iban) for page in pages] == [[500, 7, 7], [5]]


def test_second_page_comes_for_the_first(scene: Scene) -> None:
    iban = scene.customer.iban
    for _ in range(4):
        pay_in(scene.client, scene.customer, amount="1.00")
    scene.set_clock("2031-03-05T09:00:00Z")
    scene.client.control("faults", {"kind": "swapped_pages", "times": 2})

    spoilt, right = scene.statement(DAY), scene.statement(DAY)

    assert [page.text("//c:PgNb") for page in spoilt] == ["2", "1"]
    assert [page.text("//c:PgNb") for page in right] == ["1", "2"]
    assert sum(move for page in spoilt for move in page.movements(iban)) == 504


def test_statement_calls_itself_as_the_one_before(scene: Scene) -> None:
    iban = scene.customer.iban
    scene.set_clock("2031-03-05T12:00:00Z")
    pay_in(scene.client, scene.customer, amount="1.00")
    scene.set_clock("2031-03-06T09:00:00Z")
    scene.client.control("faults", {"kind": "reused_statement_id"})

    [spoilt_first] = scene.statement(DAY)  # there is none before it, so the fault still waits
    [spoilt] = scene.statement(NEXT_DAY)

    for path in ("//c:GrpHdr/c:MsgId", f"{stmt(iban)}/c:Id"):
        assert spoilt.text(path) == spoilt_first.text(path)
    assert spoilt.movements(iban) == [1]


def test_entry_stands_in_two_statements_that_both_add_up(scene: Scene) -> None:
    iban = scene.customer.iban
    pay_in(scene.client, scene.customer, amount="2.00")
    scene.set_clock("2031-03-05T12:00:00Z")
    pay_in(scene.client, scene.customer, amount="1.00")
    scene.set_clock("2031-03-06T09:00:00Z")
    scene.client.control("faults", {"kind": "repeated_entry"})

    [spoilt] = scene.statement(NEXT_DAY)
    [first] = scene.statement(DAY)

    assert first.movements(iban) == [500, 2]
    assert spoilt.movements(iban) == [2, 1]
    assert (spoilt.balance(iban, "OPBD"), spoilt.balance(iban, "CLBD")) == (500, 503)


def test_statement_states_another_amount_than_is_booked(scene: Scene) -> None:
    iban = scene.customer.iban
    end_to_end_id = pay_in(scene.client, scene.customer, amount="2.00")
    scene.set_clock("2031-03-05T09:00:00Z")
    scene.client.control("faults", {"kind": "wrong_amount_stated", "match": {"endToEndId": end_to_end_id}})

    [spoilt], [right] = scene.statement(DAY), scene.statement(DAY)

    assert spoilt.movements(iban) == [500, Decimal("2.01")]
    assert right.movements(iban) == [500, 2]
    assert spoilt.balance(iban, "CLBD") == right.balance(iban, "CLBD") == 502


def test_structured_reference_and_a_long_name_are_stated(scene: Scene) -> None:
    name = "Zoë d'Åkerström-Μαρία " + "x" * 118
    order = coming_in(scene.customer.virtual_iban, 9, creditorReference="RF18539007547034", debtorName=name)
    del order["reference"]
    scene.client.control("simulations/incoming-payments", order)
    scene.set_clock("2031-03-05T09:00:00Z")

    [page] = scene.statement(DAY)
    [inbound] = scene.listener.wait_for("Sepa.Ct.InboundPayment.Completed", str(order["endToEndId"]))

    assert inbound.payload["TransactionReference"] == "RF18539007547034"
    assert page.text("//c:RmtInf/c:Strd/c:CdtrRefInf/c:Ref") == "RF18539007547034"
    assert len(name) == 140
    assert page.text(f"//c:TxDtls[c:Refs/c:EndToEndId='{order['endToEndId']}']//c:Dbtr//c:Nm") == name


def test_days_on_which_the_clock_changes_have_23_and_25_hours(scene: Scene) -> None:
    iban = scene.customer.iban
    for day, start, end in (
        ("2031-03-30", "2031-03-29T23:00:00Z", "2031-03-30T22:00:00Z"),
        ("2031-10-26", "2031-10-25T22:00:00Z", "2031-10-26T23:00:00Z"),
    ):
        scene.set_clock(f"{start[:11]}23:30:00Z")
        pay_in(scene.client, scene.customer, amount="1.00")
        scene.set_clock(f"{day}T21:59:00Z")
        pay_in(scene.client, scene.customer, amount="2.00")
        scene.set_clock(f"{end[:10]}T23:00:01Z")
        pay_in(scene.client, scene.customer, amount="4.00")
        scene.set_clock(f"{end[:8]}31T09:00:00Z")

        [page] = scene.statement({"startDateTimeUtc": start, "endDateTimeUtc": end})

        assert page.movements(iban) == [1, 2]
        assert page.balance(iban, "CLBD") - page.balance(iban, "OPBD") == 3
