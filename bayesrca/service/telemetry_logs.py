"""The log: lines for people, or one JSON object a line."""

from __future__ import annotations

import logging
import sys

import structlog

from bayesrca.service.options import LogFormat

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logging(log_format: LogFormat, text: str = _TEXT, level: int = logging.INFO) -> None:
    """Send everything that is logged to standard error.

    In JSON each record has ``time`` (UTC), ``level``, ``logger`` and ``message``, what it was given
    as ``extra``, and inside of a call ``call_id``, ``tenant``, ``subject`` and, where there is a
    trace, ``trace_id``. Text does nothing where the program has set logging up already.

    Args:
        log_format: one of the two.
        text: what a line of text looks like.
        level: the least that is logged where a logger does not say otherwise.
    """
    if log_format is LogFormat.TEXT:
        logging.basicConfig(level=level, stream=sys.stderr, format=text)
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[
                structlog.contextvars.merge_contextvars,
                structlog.stdlib.add_log_level,
                structlog.stdlib.add_logger_name,
                structlog.stdlib.ExtraAdder(),
                structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            ],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                structlog.processors.EventRenamer("message"),
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    logging.basicConfig(level=level, handlers=[handler], force=True)
