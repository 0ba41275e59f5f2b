"""Copy a run's weights into data/weights, in fp16, and note the copy's SHA-256 in the records of the run.

    python data/commit_weights.py runs/pocket

The records' numbers stay those of the weights as trained. Prints what was written.
"""
import argparse
import sys
from pathlib import Path

from aminet.errors import BadInput
from aminet.files import sha256
from aminet.paper.records import read_record, seal, write_record
from aminet.paper.runs import key_of
from aminet.training.weights import find_weights, load_weights, read_header, save_weights

DATA = Path(__file__).parent


def commit(run: Path, data: Path = DATA) -> list[Path]:
    """Write data/weights/NAME.safetensors and its .json of a run's folder NAME; returns them and the records noted.

    BadInput if there are weights of another run by that name.
    """
    path = data / "weights" / f"{run.resolve().name}.safetensors"
    model, header = load_weights(find_weights(run))
    if path.exists() and key_of(read_header(path)) != key_of(header):
        raise BadInput(f"{path} is of another run: rename the folder {run}")
    save_weights(path, model.state_dict(), header, half=True)
    return [path, path.with_suffix(".json"), *note(path, data / "records")]


def note(weights: Path, records: Path) -> list[Path]:
    """Note the SHA-256 of committed weights in the records of their training, which it returns."""
    header, noted = read_header(weights), []
    for path in sorted(records.glob("*.json")):
        record = read_record(path)
        ours = record["weights"] if record.get("kind") == "evaluation" else {}
        same_run = key_of(ours | {"config": record.get("config")}) == key_of(header)
        if same_run and ours.get("chosen") == header.get("chosen"):
            write_record(seal(record | {"weights": ours | {"committed": sha256(weights)}}), path)
            noted.append(path)
    return noted


if __name__ == "__main__":
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("runs", metavar="RUN", type=Path, nargs="+", help="a folder, as runs/pocket")
    try:
        for run in words.parse_args().runs:
            print(*commit(run), sep="\n")
    except BadInput as error:
        sys.exit(f"commit_weights: {error}")
