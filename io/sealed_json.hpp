// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace polyphase {

// Private to io: a JSON object whose last member, "digest", is the XXH3-128 of every byte before
// it, so that any change of the file, even of a blank, shows.
std::string seal(nlohmann::json content, const std::string& format, std::int64_t version);

// The text with the digest behind it: seal() of a content that is written down, but for its end.
std::string sealed_text(std::string text);

// Reads a sealed file and returns its content. Throws DataError when the digest does not hold, the
// format has another name, or its version is not `version`.
nlohmann::json unseal(const std::filesystem::path& path, const std::string& format,
                      std::int64_t version);

}  // namespace polyphase
