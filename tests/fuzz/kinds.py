"""All kinds of files."""

from fuzz.arrays import ARRAYS
from fuzz.pictures import IMAGES
from fuzz.records import PAGES, RECORDS
from fuzz.shards import SHARDS
from fuzz.tables import TABLES
from fuzz.tensors import WEIGHTS

KINDS = (*RECORDS, *PAGES, *WEIGHTS, *TABLES, *ARRAYS, *IMAGES, *SHARDS)
