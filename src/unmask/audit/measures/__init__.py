"""The measures of an audit, as functions of arrays and modules; nothing here knows the page."""
