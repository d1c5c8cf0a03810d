"""The log: lines for people, or one JSON object a line."""

from __future__ import annotations

import logging
import sys

import structlog

from bayesrca.service.options import LogFormat

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def set_up_logging(log_format: LogFormat) -> None:
    """Send everything that is logged to standard error.

    In JSON each record has ``time`` (UTC), ``level``, ``logger`` and ``message``, what it was given
    as ``extra``, and inside of a call ``call_id``, ``tenant``, ``subject`` and, where there is a
    trace, ``trace_id``. Text does nothing where the program has set logging up already.
    """
    if log_format is LogFormat.TEXT:
        logging.basicConfig(level=logging.INFO, stream=sys.stderr, format=_TEXT)
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
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
