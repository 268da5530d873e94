// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace polyphase::report {

// The first fault of a page or fragment as XML would see it (a tag left open or closed out of
// order, an attribute without quotes, a bare ampersand or angle bracket), with the text around it;
// "" when it is well-formed.
std::string markup_fault(const std::string& page);

// How often `part` stands in `text`, without overlap.
int count_of(const std::string& text, const std::string& part);

}  // namespace polyphase::report
