"""``bayesrca learn``: a prior of theta from incidents whose causes are known."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from bayesrca.cli_output import check_file, progress, say, show, write_file
from bayesrca.config import LARGEST_SEED, LearnedPrior, Settings

Prior = Annotated[
    Path | None,
    typer.Option(help="Prior file that `bayesrca learn` wrote (docs/learning.md)."),
]
"""The option of every command that uses a learned prior."""
Where = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KEY=VALUE",
        help="Only cases whose truth.json has this field so, e.g. split=test; may be repeated.",
    ),
]
"""The option of every command that chooses labelled incidents."""


def read_prior(path: Path | None) -> LearnedPrior | None:
    """Read the file of a `Prior` option; None without one.

    Raises:
        InvalidSettingsError: as `bayesrca.model.prior_file.load_prior`.
    """
    if path is None:
        return None
    from bayesrca.model.prior_file import load_prior  # noqa: PLC0415  keeps --help fast

    return load_prior(path)


def learn(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...", help="Folders of labelled incidents, or of data sets of them."
        ),
    ],
    *,
    output: Annotated[Path, typer.Option(help="Prior file to write.", dir_okay=False)],
    seed: Annotated[
        int, typer.Option(help="The same seed gives the same prior.", min=0, max=LARGEST_SEED)
    ] = 0,
    case: Annotated[
        list[str] | None,
        typer.Option(help="Only cases whose name matches this shell pattern; may be repeated."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Only the first so many cases of each data set.", min=1)
    ] = None,
    where: Where = None,
    families: Annotated[
        Path | None,
        typer.Option(help="TOML file of rules from metric names to families (docs/families.md)."),
    ] = None,
    cores: Annotated[
        int | None, typer.Option(help="Threads to use; never changes a number.", min=1)
    ] = None,
) -> None:
    """Learn a prior from incidents whose cause is known (docs/learning.md)."""
    check_file(output, "output")
    # Late, for they load SciPy, which --help does not need.
    from bayesrca.analysis import library_versions  # noqa: PLC0415
    from bayesrca.evaluation.cases import choose_cases, find_data_sets  # noqa: PLC0415
    from bayesrca.evaluation.learn import learn_prior  # noqa: PLC0415
    from bayesrca.evaluation.learn_document import prior_content, render  # noqa: PLC0415
    from bayesrca.ingest import FamilyRules  # noqa: PLC0415
    from bayesrca.model.prior_file import encode_prior  # noqa: PLC0415

    data_sets = choose_cases(find_data_sets(paths), case or (), limit, where or ())
    rules = None if families is None else FamilyRules.from_toml(families)
    settings = Settings(cores=cores or os.cpu_count() or 1)
    with progress("reading") as tell:
        learned = learn_prior(
            data_sets,
            seed=seed,
            settings=settings,
            families=rules,
            tell=lambda what, done: tell(what, done, 1.0),
        )
    show(render(learned))
    content = prior_content(
        learned,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        versions=library_versions(),
    )
    write_file(output, encode_prior(content))
    say(f"Written to {output}; use it with --prior {output}.\n")
