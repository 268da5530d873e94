// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/line_reader.hpp"

namespace polyphase::text {

// Reads the next row of comma-separated values (RFC 4180: fields may stand between quotes, and then
// hold commas, line ends, and quotes written twice); false behind the last one. `first_line` gets
// the number of the row's first line. Throws BadLine for a quote that is out of place or never
// closed, and for a row of more than kMaxLineBytes.
bool next_csv_row(LineReader& lines, std::vector<std::string>& row, std::int64_t& first_line);

}  // namespace polyphase::text
