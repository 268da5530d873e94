// SPDX-License-Identifier: Apache-2.0
#include "report/page.hpp"

#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <system_error>

#include "base/error.hpp"
#include "report/format.hpp"
#include "report/style.hpp"

namespace polyphase::report {

std::string text_of_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

std::string page_html(const std::string& title, const std::string& body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n"
      "<title>{} · polyphase report</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n{}"
      "</main>\n</body>\n</html>\n",
      escape_html(title), kStyleSheet, body);
}

void write_page(const std::filesystem::path& path, const std::string& page) {
  const std::filesystem::path beside = path.string() + ".part";
  {
    std::ofstream file(beside, std::ios::binary | std::ios::trunc);
    file << page;
    file.close();
    if (!file) {
      std::error_code ignored;
      std::filesystem::remove(beside, ignored);
      fail<SystemError>("{}: cannot be written; is the disk full, or the folder not yours?",
                        beside.string());
    }
  }
  std::error_code error;
  std::filesystem::rename(beside, path, error);
  if (error) fail<SystemError>("{}: cannot be put in place: {}", path.string(), error.message());
}

}  // namespace polyphase::report
