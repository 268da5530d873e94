// SPDX-License-Identifier: Apache-2.0
#include "report/page.hpp"

#include <fmt/format.h>

#include <fstream>
#include <sstream>

#include "io/file.hpp"
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
  write_file_atomically(path, page);
}

}  // namespace polyphase::report
