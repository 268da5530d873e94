// SPDX-License-Identifier: Apache-2.0
#include "io/sealed_json.hpp"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/digest.hpp"
#include "base/error.hpp"
#include "io/file.hpp"
#include "io/json.hpp"

namespace polyphase {
namespace {

constexpr std::string_view kBeforeDigest = ",\n \"digest\": \"";
constexpr std::string_view kAfterDigest = "\"\n}\n";
constexpr std::size_t kDigestDigits = 32;
constexpr std::size_t kSealBytes = kBeforeDigest.size() + kDigestDigits + kAfterDigest.size();

}  // namespace

std::string seal(nlohmann::json content, const std::string& format, std::int64_t version) {
  content["format"] = format;
  content["version"] = version;
  std::string text;
  try {
    text = content.dump(1);
  } catch (const nlohmann::json::exception& error) {
    fail<DataError>("{}: {}; write names and texts in UTF-8", format, error.what());
  }
  text.resize(text.size() - 2);  // without the newline and brace of the end
  return sealed_text(std::move(text));
}

std::string sealed_text(std::string text) {
  const std::string sum = digest(text);
  text += kBeforeDigest;
  text += sum;
  text += kAfterDigest;
  return text;
}

nlohmann::json unseal(const std::filesystem::path& path, const std::string& format,
                      std::int64_t version) {
  const std::string text = read_file(path);
  const std::size_t content_bytes = text.size() - std::min(text.size(), kSealBytes);
  const std::string sum = digest(text.data(), content_bytes);
  const std::string expected = std::string(kBeforeDigest) + sum + std::string(kAfterDigest);
  if (content_bytes == 0 || text.compare(content_bytes, std::string::npos, expected) != 0) {
    fail<DataError>(
        "{}: the digest at its end does not hold; it was altered or cut short: do not edit it, "
        "make it "
        "again",
        path.string());
  }
  nlohmann::json content = parse_json_or_discard(text);
  if (!content.is_object() || content.value("format", nlohmann::json()) != format) {
    fail<DataError>("{}: not a {}; choose another file", path.string(), format);
  }
  if (content.value("version", nlohmann::json()) != version) {
    fail<DataError>(
        "{}: {} of format version {}, where this program reads version {}; use the program that "
        "wrote it or make the file again",
        path.string(), format, content.value("version", nlohmann::json()).dump(), version);
  }
  return content;
}

}  // namespace polyphase
