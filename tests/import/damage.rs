//! Every kind of damage, in every place: all readable records are imported, and the bytes come back.

use super::*;
