"""The sample data has the publisher's shape and every trap that was measured on the publisher's files.

The traps are numbered as they were when the publisher's files were measured; 14 and 16 are about transport, and are
played by `tests.publisher`.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest

from core.datasets import GREEN, YELLOW, ZONES
from core.errors import UsageError
from core.extract import extract, sample
from core.extract.sample import files
from core.extract.sample.__main__ import main
from core.month import Month, parse_months

ROWS = 4_000
DEMO = parse_months("2024-01..2024-03")
ERAS = parse_months("2020-03,2021-06,2023-01,2023-02,2024-01..2024-03,2025-01..2025-03")
KEY = ["VendorID", "lpep_pickup_datetime", "lpep_dropoff_datetime", "PULocationID", "DOLocationID"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All eras, written once for the module."""
    folder = tmp_path_factory.mktemp("sample")
    sample.ensure(folder, ERAS, rows=ROWS)
    return folder


def read(folder: Path, month: Month) -> pa.Table:
    return pq.read_table(folder / sample.file_name(month))


def pandas_frame(folder: Path, month: Month) -> pd.DataFrame:
    return pd.read_parquet(folder / sample.file_name(month))


def pickup_months(table: pa.Table) -> dict[str, int]:
    return dict(Counter(map(str, pc.strftime(table["lpep_pickup_datetime"], format="%Y-%m").to_pylist())))


def bits(table: pa.Table, column: str) -> list[int]:
    values: list[int] = table[column].to_numpy().view(np.int64).tolist()
    return values


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------- the traps, in every month with rows


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_1_a_file_holds_other_months_and_reset_clocks(folder: Path, month: Month) -> None:
    found = pickup_months(read(folder, month))
    before = Month(month.year - (month.number == 1), (month.number - 2) % 12 + 1)
    assert {name: rows for name, rows in found.items() if name != str(month)} == {
        str(month.next()): 8, str(before): 4, "2008-12": 1, "2009-01": 1, "2041-08": 1,
    }  # fmt: skip


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_2_charges_and_their_reversals_share_every_key(folder: Path, month: Month) -> None:
    frame = pandas_frame(folder, month)
    charges, reversals = frame[frame.fare_amount > 0], frame[frame.fare_amount < 0]
    pairs = reversals.merge(charges, on=KEY)
    assert len(pairs) == len(reversals) >= 3
    assert (pairs.fare_amount_x == -pairs.fare_amount_y).all()
    assert (pairs.total_amount_x == -pairs.total_amount_y).all()


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_3_order_is_not_time_and_rows_repeat_exactly(folder: Path, month: Month) -> None:
    frame = pandas_frame(folder, month)
    assert not frame.lpep_pickup_datetime.is_monotonic_increasing
    assert frame.duplicated().sum() == 5


@pytest.mark.parametrize("month", [Month(2020, 3), Month(2023, 2), Month(2025, 2)], ids=str)
def test_4_the_same_rows_exist_in_another_encoding(folder: Path, tmp_path: Path, month: Month) -> None:
    original, twin = folder / sample.file_name(month), tmp_path / "twin.parquet"
    sample.write_month(twin, month, rows=ROWS, encoding=sample.RESAVED)
    first, second = pq.ParquetFile(original), pq.ParquetFile(twin)
    assert sha256(original) != sha256(twin)
    assert first.schema_arrow != second.schema_arrow
    assert first.metadata.row_group(0).column(0).compression != second.metadata.row_group(0).column(0).compression
    left, right = first.read(), second.read()
    for name in left.column_names:
        expected, found = left[name].cast(right[name].type), right[name]
        assert expected.is_null().equals(found.is_null())
        # By bits: NaN is not equal to itself, and -0.0 is equal to 0.0.
        if left[name].type == pa.float64():
            assert bits(left, name) == bits(right, name)
        else:
            assert expected.equals(found)


def test_5_ehail_fee_has_no_type_and_then_one_and_never_a_value(folder: Path) -> None:
    for month in ERAS:
        column = read(folder, month)["ehail_fee"]
        assert column.type == (pa.null() if month < Month(2023, 2) else pa.float64())
        assert column.null_count == len(column)


def test_6_types_change_between_two_months(folder: Path) -> None:
    old, new = read(folder, Month(2023, 1)).schema, read(folder, Month(2023, 2)).schema
    assert old.names == new.names
    changes = {name: (str(old.field(name).type), str(new.field(name).type)) for name in old.names}
    assert {name: change for name, change in changes.items() if change[0] != change[1]} == {
        "VendorID": ("int64", "int32"),
        "PULocationID": ("int64", "int32"),
        "DOLocationID": ("int64", "int32"),
        "RatecodeID": ("double", "int64"),
        "passenger_count": ("double", "int64"),
        "payment_type": ("double", "int64"),
        "trip_type": ("double", "int64"),
        "store_and_fwd_flag": ("string", "large_string"),
        "ehail_fee": ("null", "double"),
    }


def test_6_resaved_files_have_coarser_times_and_floating_vendors(tmp_path: Path) -> None:
    sample.write_month(tmp_path / "twin.parquet", DEMO[0], rows=ROWS, encoding=sample.RESAVED)
    schema = pq.read_schema(tmp_path / "twin.parquet")
    # Parquet knows no seconds: they come back as milliseconds.
    assert [str(schema.field(name).type) for name in KEY[:3]] == ["double", "timestamp[ms]", "timestamp[ms]"]


def test_7_a_new_column_is_lost_when_two_eras_are_read_as_one(folder: Path) -> None:
    old, new = (folder / sample.file_name(month) for month in (Month(2024, 3), Month(2025, 1)))
    assert pq.read_schema(new).names == [*pq.read_schema(old).names, "cbd_congestion_fee"]
    both = pyarrow.dataset.dataset([str(old), str(new)]).to_table()
    assert "cbd_congestion_fee" not in both.column_names
    assert pc.sum(read(folder, Month(2025, 1))["cbd_congestion_fee"]).as_py() > 0


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_8_pandas_makes_floats_of_nullable_integers(folder: Path, month: Month) -> None:
    assert pandas_frame(folder, month).passenger_count.dtype == "float64"


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_9_six_columns_are_null_together_at_the_end(folder: Path, month: Month) -> None:
    table = read(folder, month)
    masks = {name: table[name].is_null().to_numpy() for name in sample.NULL_BLOCK}
    block = masks.pop("store_and_fwd_flag")
    low, high = {2020: (0.21, 0.451), 2021: (0.12, 0.401)}.get(month.year, (0.03, 0.121))
    assert low <= block.mean() <= high
    assert block[-int(block.sum()) :].all()
    more = masks.pop("trip_type") & ~block
    assert 3 <= more.sum() <= 5
    assert all((mask == block).all() for mask in masks.values())


def test_9_the_new_fee_is_null_by_another_rule_each_month(folder: Path) -> None:
    def nulls(month: int) -> tuple[int, int, int]:
        table = read(folder, Month(2025, month))
        fee, block = table["cbd_congestion_fee"].is_null().to_numpy(), table["payment_type"].is_null().to_numpy()
        return int((fee & block).sum()), int((fee & ~block).sum()), int((~fee & block).sum())

    january, february, march = nulls(1), nulls(2), nulls(3)
    assert january[0] > 0 and january[1:] == (0, 0)
    assert february[0] > 0 and february[1] == 0 and february[2] > 0
    assert march[:2] == (0, 0) and march[2] > 0


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_10_codes_go_beyond_the_documented_ones(folder: Path, month: Month) -> None:
    table = read(folder, month)
    vendors, rates, payments = (set(table[name].to_pylist()) for name in ("VendorID", "RatecodeID", "payment_type"))
    assert vendors == ({1, 2, 5, 6} if month >= Month(2025, 2) else {1, 2, 5})
    assert {1, 99, None} <= rates and {1, 5, None} <= payments
    assert {0, 1, 9} <= set(table["passenger_count"].to_pylist())


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_11_durations_and_fares_are_negative_and_distances_absurd(folder: Path, month: Month) -> None:
    frame = pandas_frame(folder, month)
    backwards = frame[frame.lpep_dropoff_datetime < frame.lpep_pickup_datetime]
    assert len(backwards) >= 3
    if month >= Month(2025, 2):
        assert (backwards.VendorID == 6).sum() >= 3
    assert 0.002 <= (frame.fare_amount < 0).mean() <= 0.0045
    assert frame.trip_distance.max() == 259_777.0
    assert (frame.trip_distance > 40_000).sum() == 4


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_12_every_value_that_real_files_lack_is_there(folder: Path, month: Month) -> None:
    table = read(folder, month)
    for column, value in sample.HARD_VALUES:
        assert np.float64(value).view(np.int64) in bits(table, column), (column, value)
    amounts = {value for name, _ in sample.HARD_VALUES for value in bits(table, name)}
    # One of either sign.
    assert sum(np.isnan(np.int64(value).view(np.float64)) for value in amounts) == 2


def test_12_the_lookup_has_crlf_and_a_text_that_looks_like_null(folder: Path) -> None:
    lines = (folder / sample.ZONES).read_bytes().split(b"\r\n")
    assert lines[0] == b'"LocationID","Borough","Zone","service_zone"'
    assert lines[-3:] == [b'264,"Unknown","N/A","N/A"', b'265,"N/A","Outside of NYC","N/A"', b""]
    assert not any(b"\n" in line for line in lines)
    swallowed, kept = pd.read_csv(folder / sample.ZONES), pd.read_csv(folder / sample.ZONES, keep_default_na=False)
    assert swallowed.isna().sum().sum() == 4 and kept.isna().sum().sum() == 0


def test_12_the_lookup_covers_every_location_once(folder: Path) -> None:
    zones = pd.read_csv(folder / sample.ZONES, keep_default_na=False)
    assert zones.LocationID.to_list() == list(range(1, 266))
    assert set(zones.Borough) == {"EWR", "Queens", "Bronx", "Manhattan", "Staten Island", "Brooklyn", "Unknown", "N/A"}
    assert zones.duplicated(["Borough", "Zone"]).any()
    assert zones.Zone.str.contains('"').any() and zones.Zone.str.contains(",").any()
    used = set(read(folder, DEMO[0])["PULocationID"].to_pylist())
    assert used <= set(zones.LocationID) and {264, 265} & used


def test_15_a_flipped_bit_in_the_file_can_go_unseen(folder: Path, tmp_path: Path) -> None:
    """Row counts prove nothing: some flips give another table of the same length."""
    whole = (folder / sample.file_name(DEMO[0])).read_bytes()
    original = read(folder, DEMO[0])
    path, silent = tmp_path / "flipped.parquet", 0
    for place in range(1_000, len(whole) * 3 // 4, len(whole) // 40):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            other = pq.read_table(path)
        except OSError:
            continue
        silent += other.num_rows == original.num_rows and not other.equals(original, check_metadata=False)
    assert silent > 0


# ---------------------------------------------------------------- the shape


@pytest.mark.parametrize("month", ERAS, ids=str)
def test_a_file_is_encoded_as_the_publisher_does(folder: Path, month: Month) -> None:
    metadata = pq.read_metadata(folder / sample.file_name(month))
    assert metadata.num_row_groups == 1
    legacy = month < Month(2023, 2)
    assert metadata.row_group(0).column(0).compression == ("GZIP" if legacy else "ZSTD")
    assert metadata.format_version == ("1.0" if legacy else "2.6")
    assert (b"pandas" in (metadata.metadata or {})) == legacy


def test_most_totals_add_up_and_most_trips_are_in_their_month(folder: Path) -> None:
    frame = pandas_frame(folder, DEMO[0])
    parts = frame[[part for part in sample.PARTS if part in frame]].sum(axis=1)
    assert ((parts - frame.total_amount).abs() < 0.005).mean() > 0.8
    assert (frame.lpep_pickup_datetime.dt.to_period("M") == "2024-01").mean() > 0.99
    assert frame.fare_amount.between(3, 100).mean() > 0.99


def test_no_row_is_in_two_files(folder: Path) -> None:
    months = [pandas_frame(folder, month) for month in DEMO]
    rows = pd.concat([month.drop_duplicates() for month in months])
    assert not rows.duplicated().any()


@pytest.mark.parametrize(
    ("rows", "months"),
    [(sample.FEWEST_ROWS, parse_months("2020-05..2021-12")), (60_000, ERAS[::5])],
    ids=["few", "many"],
)
def test_traps_fit_at_any_size(rows: int, months: tuple[Month, ...]) -> None:
    for month in months:
        table = sample.table(month, rows=rows)
        assert 0.95 * rows - 1 <= table.num_rows <= 1.05 * rows
        assert len(pickup_months(table)) == 6
        assert all(np.float64(value).view(np.int64) in bits(table, column) for column, value in sample.HARD_VALUES)


# ---------------------------------------------------------------- the generator


def test_the_same_seed_gives_the_same_bytes_in_another_process_and_order(folder: Path, tmp_path: Path) -> None:
    months = ",".join(map(str, reversed(ERAS)))
    command = [sys.executable, "-m", "core.extract.sample", str(tmp_path), months, "--rows", str(ROWS)]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": "4711"}, check=True, capture_output=True, text=True, timeout=120
    )
    assert len(done.stdout.splitlines()) == len(ERAS)
    for name in (*map(sample.file_name, ERAS), sample.ZONES):
        assert sha256(tmp_path / name) == sha256(folder / name)


def test_rows_stay_the_same_over_releases() -> None:
    """Pins the rows, not the bytes, which change with pyarrow: a new version of the generator must say so."""
    table = sample.table(Month(2025, 2), rows=sample.FEWEST_ROWS)
    plain = hashlib.sha256()
    for name in table.column_names:
        values = bits(table, name) if pa.types.is_floating(table[name].type) else table[name].to_pylist()
        plain.update(repr((name, table[name].is_null().to_pylist(), values)).encode())
    assert plain.hexdigest()[:16] == "af8a746a991d772d"


def test_another_seed_gives_other_rows() -> None:
    assert not sample.table(DEMO[0], seed=1, rows=ROWS).equals(sample.table(DEMO[0], seed=2, rows=ROWS))


def test_the_generator_does_not_import_pandas(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from core.extract import sample; from core.month import parse_months;"
        f"sample.ensure(Path({str(tmp_path)!r}), parse_months('2020-01,2024-01'), rows=500);"
        "sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_only_what_is_missing_or_outdated_is_written(tmp_path: Path) -> None:
    written: list[str] = []

    def report(month: Month, path: Path, new: bool, seconds: float) -> None:
        assert path.exists() and seconds >= 0
        written.extend([str(month)] * new)

    def ensure(rows: int = 500, seed: int = 1) -> list[str]:
        written.clear()
        paths = sample.ensure(tmp_path, DEMO, seed, rows, report)
        assert [path.name for path in paths] == [sample.file_name(month) for month in DEMO]
        return list(written)

    assert ensure() == ["2024-01", "2024-02", "2024-03"]
    assert ensure() == []
    (tmp_path / sample.file_name(DEMO[1])).write_bytes(b"PAR1 cut off")
    (tmp_path / sample.file_name(DEMO[2])).unlink()
    assert ensure() == ["2024-02", "2024-03"]
    assert ensure(rows=600) == ["2024-01", "2024-02", "2024-03"]
    assert ensure(rows=600, seed=2) == ["2024-01", "2024-02", "2024-03"]
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(table: pa.Table, where: Path, **options: object) -> None:
        where.write_bytes(b"PAR1 half a")
        raise OSError("no space left on device")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="no space"):
        sample.write_month(tmp_path / "x.parquet", DEMO[0], rows=500)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["2019-12"], "no sample data for 2019-12"),
        (["2026-01"], "no sample data for 2026-01"),
        (["2024-13"], "'2024-13' is not a month"),
        (["2024-01", "--rows", "10"], "10 rows"),
        (["2024-01", "--seed", "-1"], "seed -1"),
    ],
)
def test_a_wrong_call_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert main([str(tmp_path), *arguments]) == 2
    printed = capsys.readouterr().err
    assert message in printed and printed.count("\n") == 1


def test_a_month_is_made_quickly() -> None:
    """It takes 0.03 CPU seconds: the bound tells a loop over rows from the vectorised code on any machine."""
    start = time.process_time()
    sample.table(DEMO[0])
    assert time.process_time() - start < 0.5


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(UsageError, match="rows from 200"):
        sample.table(DEMO[0], rows=199)


# ---------------------------------------------------------------- the yellow months

YELLOW_ERAS = parse_months("2020-12,2021-01,2023-01,2023-02,2024-12,2025-01")


def yellow(month: Month, rows: int = ROWS) -> pa.Table:
    return sample.table(month, rows=rows, cab="yellow")


def test_the_yellow_fee_is_spelt_in_two_ways() -> None:
    spelt = {
        str(month): [name for name in yellow(month).column_names if "airport" in name.lower()] for month in YELLOW_ERAS
    }
    assert spelt == {
        "2020-12": ["airport_fee"], "2021-01": ["airport_fee"], "2023-01": ["airport_fee"],
        "2023-02": ["Airport_fee"], "2024-12": ["Airport_fee"], "2025-01": ["Airport_fee"],
    }  # fmt: skip


def test_yellow_types_change_with_the_eras() -> None:
    first, old, new = (yellow(month).schema for month in (Month(2020, 12), Month(2023, 1), Month(2023, 2)))
    assert (first.field("airport_fee").type, old.field("airport_fee").type) == (pa.null(), pa.float64())
    changes = {n: (str(old.field(n).type), str(new.field(n).type)) for n in old.names if n in new.names}
    assert {name: change for name, change in changes.items() if change[0] != change[1]} == {
        "VendorID": ("int64", "int32"), "PULocationID": ("int64", "int32"), "DOLocationID": ("int64", "int32"),
        "RatecodeID": ("double", "int64"), "passenger_count": ("double", "int64"),
        "store_and_fwd_flag": ("string", "large_string"),
    }  # fmt: skip


@pytest.mark.parametrize("month", YELLOW_ERAS, ids=str)
def test_a_yellow_month_has_its_own_null_block_and_the_other_traps(month: Month) -> None:
    table = yellow(month)
    block = table["store_and_fwd_flag"].is_null().to_numpy()
    assert block.sum() > 0 and block[-int(block.sum()) :].all()
    assert set(pc.filter(table["payment_type"], pa.array(block)).to_pylist()) == {0}
    fee = next(name for name in table.column_names if name.lower() == "airport_fee")
    assert (table[fee].is_null().to_numpy() == (block | (month < Month(2021, 1)))).all()
    assert table["payment_type"].null_count == 0
    assert (table["fare_amount"].to_numpy() < 0).sum() >= 3
    for column, value in sample.HARD_VALUES:
        assert np.float64(value).view(np.int64) in bits(table, column), (column, value)


def test_a_yellow_month_depends_on_its_seed_and_is_not_the_green_one(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        sample.ensure(tmp_path / name, [DEMO[0]], seed, 500, cab="yellow")
    first, again, other = (sha256(tmp_path / name / "yellow_tripdata_2024-01.parquet") for name in "abc")
    assert first == again != other
    assert sample.table(DEMO[0])["PULocationID"] != yellow(DEMO[0], sample.ROWS)["PULocationID"]


def test_yellow_rows_stay_the_same_over_releases() -> None:
    table = yellow(Month(2025, 2), sample.FEWEST_ROWS)
    plain = hashlib.sha256()
    for name in table.column_names:
        values = bits(table, name) if pa.types.is_floating(table[name].type) else table[name].to_pylist()
        plain.update(repr((name, table[name].is_null().to_pylist(), values)).encode())
    assert plain.hexdigest()[:16] == "752ea2a0accdf43d"


def test_the_command_line_writes_yellow_months(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "2024-01", "--cab", "yellow", "--rows", "500"]) == 0
    assert (tmp_path / "yellow_tripdata_2024-01.parquet").exists()
    assert capsys.readouterr().out.startswith("2024-01")


def test_what_a_killed_one_left_is_replaced(tmp_path: Path) -> None:
    (tmp_path / f".{sample.file_name(DEMO[0])}.part").write_text("half a file")
    sample.ensure(tmp_path, DEMO[:1], rows=200)
    assert sorted(path.name for path in tmp_path.iterdir()) == [sample.file_name(DEMO[0]), sample.ZONES]


# ---------------------------------------------------------------- the source


def test_the_source_generates_the_file_that_is_asked_for(home: Path) -> None:
    file = extract(GREEN, "sample", DEMO[0])
    sample.ensure(home / "twin", [DEMO[0]])
    assert (file.name, file.sha256) == (sample.file_name(DEMO[0]), sha256(home / "twin" / file.name))
    assert extract(YELLOW, "sample", DEMO[0]).name == sample.file_name(DEMO[0], "yellow")
    assert extract(ZONES, "sample").sha256 == sha256(home / "twin" / sample.ZONES)
    assert [path.name for path in (home / "sample").iterdir() if "2024-02" in path.name] == []


def test_steps_that_ask_at_once_get_one_file_that_is_written_once(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written, write = [], files.write_month

    def record(path: Path, month: Month, seed: int, rows: int, cab: sample.Cab) -> int:
        written.append(path.name)
        return write(path, month, seed, rows, cab=cab)

    monkeypatch.setattr(files, "write_month", record)
    start = threading.Barrier(4)

    def step(_: int) -> str:
        start.wait(60)
        return extract(GREEN, "sample", DEMO[0]).sha256

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(step, range(4)))) == 1
    assert written == [sample.file_name(DEMO[0])]


def test_the_source_says_which_months_it_has(home: Path) -> None:
    with pytest.raises(UsageError, match=r"^there is no sample data for 2019-12: name months in 2020-01\.\.2025-12$"):
        extract(GREEN, "sample", Month(2019, 12))
