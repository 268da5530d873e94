// SPDX-License-Identifier: Apache-2.0
// What a file of ours holds, read without HDF5: that can end the process on a file whose own words
// are damaged. Of the format (HDF5 File Format Specification, version 3.0) only the oldest part is
// known here, which ours are written in: superblock 0 (II.A), groups of symbol tables (III.A to
// III.D), object headers 1 (IV.A.1.a), and the messages of contiguous datasets
// (io/hdf5_messages.hpp). All else is refused.
#include <algorithm>
#include <set>
#include <string_view>

#include "base/error.hpp"
#include "io/file.hpp"
#include "io/hdf5_messages.hpp"

namespace polyphase::hdf5 {
namespace {

namespace fs = std::filesystem;
using std::string_view_literals::operator""sv;

constexpr std::uint64_t kUndefined = ~std::uint64_t{0};
constexpr int kMaxAttributes = 64;
constexpr int kMaxTreeDepth = 8;
constexpr std::uint64_t kMaxHeapBytes = 1 << 24, kMaxHeaderBytes = 1 << 22;

// Messages of an object header that tell something here.
enum Message : int {
  kDataspace = 0x01,
  kLinkInfo = 0x02,
  kDatatype = 0x03,
  kExternalFiles = 0x07,
  kLayout = 0x08,
  kFilters = 0x0B,
  kAttribute = 0x0C,
  kContinuation = 0x10,
  kSymbolTable = 0x11,
};

// Messages of one object, by kind; of attributes there may be many.
struct ObjectHeader {
  std::uint32_t num_names = 0;
  std::vector<std::pair<int, std::string>> messages;

  const std::string* find(int kind) const {
    for (const auto& [known, data] : messages) {
      if (known == kind) return &data;
    }
    return nullptr;
  }
};

class Inspector {
 public:
  explicit Inspector(const fs::path& path)
      : path_(path), file_(CheckedFile::open_read(path)), num_bytes_(file_.size()) {}

  FileContents contents() {
    contents_.num_bytes = num_bytes_;
    const ObjectHeader root = header_at(root_address());
    read_attributes(root);
    walk(root, "", 0);
    return std::move(contents_);
  }

 private:
  [[noreturn]] void no_file_of_ours(const std::string& why) const {
    fail<DataError>(
        "{}: not a whole HDF5 file: {}; it was cut short, never closed, or is something else: make "
        "it again",
        path_.string(), why);
  }

  std::string at(std::uint64_t offset, std::uint64_t count) const {
    const auto size = static_cast<std::uint64_t>(num_bytes_);
    if (count > size || offset > size - count)
      no_file_of_ours(fmt::format("it points to byte {} of {}", offset, num_bytes_));
    std::string bytes(count, '\0');
    file_.read_at(static_cast<std::int64_t>(offset), bytes.data(),
                  static_cast<std::int64_t>(count));
    return bytes;
  }

  std::uint64_t root_address() const {
    constexpr std::size_t kSuperblockBytes = 96;
    if (num_bytes_ < static_cast<std::int64_t>(kSuperblockBytes))
      no_file_of_ours("file signature not found");
    const std::string block = at(0, kSuperblockBytes);
    Bytes bytes(block, path_);
    if (bytes.take(8) != "\x89HDF\r\n\x1a\n"sv) no_file_of_ours("file signature not found");
    // Versions of four parts, 8 bytes an offset and a length, and sizes of tree nodes.
    if (bytes.take(8) != "\0\0\0\0\0\x08\x08\0"sv) refuse(path_, "", "is of a newer form");
    bytes.take(8);
    if (bytes.take<std::uint64_t>() != 0) refuse(path_, "", "does not begin at its first byte");
    bytes.take(8);
    const auto end = bytes.take<std::uint64_t>();
    if (end > static_cast<std::uint64_t>(num_bytes_))
      no_file_of_ours(fmt::format("{} bytes, where it had {}", num_bytes_, end));
    bytes.take(16);  // no driver; the name of the root
    return bytes.take<std::uint64_t>();
  }

  // Each address once: loops and shared parts end here.
  void enter(std::uint64_t address, const std::string& name) {
    if (!entered_.insert(address).second) refuse(path_, name, "has more than one name");
  }

  ObjectHeader header_at(std::uint64_t address) {
    enter(address, "");
    const std::string prefix = at(address, 16);
    Bytes bytes(prefix, path_);
    if (bytes.take(2) != "\1\0"sv) no_file_of_ours("an object's header is of another form");
    const auto num_messages = bytes.take<std::uint16_t>();
    ObjectHeader header{bytes.take<std::uint32_t>(), {}};
    std::vector<std::pair<std::uint64_t, std::uint64_t>> blocks = {
        {address + 16, bytes.take<std::uint32_t>()}};
    std::uint64_t bytes_left = kMaxHeaderBytes;  // of all blocks, which may lie on each other
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      if (b > 0) enter(blocks[b].first, "");
      if (blocks[b].second > bytes_left) no_file_of_ours("an object's header is too long");
      bytes_left -= blocks[b].second;
      const std::string block = at(blocks[b].first, blocks[b].second);
      Bytes rest(block, path_);
      while (rest.rest().size() >= 8) {
        const auto kind = rest.take<std::uint16_t>();
        const auto size = rest.take<std::uint16_t>();
        const auto flags = rest.take<std::uint8_t>();
        rest.take(3);
        Bytes data(rest.take(size), path_);
        if (header.messages.size() + blocks.size() > std::size_t{num_messages} + 1)
          no_file_of_ours("an object's header has more parts than it says");
        if ((flags & 2) != 0) refuse(path_, "", "shares what describes it with other objects");
        if (kind == kContinuation) {
          const auto next = data.take<std::uint64_t>();
          blocks.emplace_back(next, data.take<std::uint64_t>());
        } else {
          header.messages.emplace_back(kind, data.rest());
        }
      }
    }
    return header;
  }

  void walk(const ObjectHeader& group, const std::string& prefix, int depth) {
    const std::string* table = group.find(kSymbolTable);
    if (table == nullptr) refuse(path_, prefix, "holds a soft or external link, or is no group");
    if (depth > kMaxTreeDepth) refuse(path_, prefix, "lies too deep");
    Bytes bytes(*table, path_);
    const auto tree = bytes.take<std::uint64_t>();
    const std::string names = heap_at(bytes.take<std::uint64_t>());
    read_tree(tree, names, prefix, depth, 0, -1);
  }

  std::string heap_at(std::uint64_t address) {
    enter(address, "");
    const std::string head = at(address, 32);
    Bytes bytes(head, path_);
    if (bytes.take(8) != "HEAP\0\0\0\0"sv) no_file_of_ours("a list of names is of another form");
    const auto size = bytes.take<std::uint64_t>();
    bytes.take(8);
    if (size > kMaxHeapBytes) no_file_of_ours("a list of names is too long");
    return at(bytes.take<std::uint64_t>(), size);
  }

  // Nodes of a tree lead to nodes of the level below, those of level 0 to lists of links.
  void read_tree(std::uint64_t address, const std::string& names, const std::string& prefix,
                 int depth, int nodes_above, int expected_level) {
    enter(address, prefix);
    const std::string head = at(address, 24);
    Bytes bytes(head, path_);
    if (bytes.take(5) != "TREE\0"sv) no_file_of_ours("the tree of a group is of another form");
    const int level = bytes.take<std::uint8_t>();
    const auto count = bytes.take<std::uint16_t>();
    if (nodes_above > kMaxTreeDepth || (expected_level >= 0 && level != expected_level))
      no_file_of_ours("the tree of a group is of another form");
    const std::string entries = at(address + 24, 16 * std::uint64_t{count} + 8);
    Bytes rest(entries, path_);
    for (int i = 0; i < count; ++i) {
      rest.take(8);  // a name that lies between
      const auto child = rest.take<std::uint64_t>();
      if (level > 0) {
        read_tree(child, names, prefix, depth, nodes_above + 1, level - 1);
      } else {
        read_links(child, names, prefix, depth);
      }
    }
  }

  void read_links(std::uint64_t address, const std::string& names, const std::string& prefix,
                  int depth) {
    enter(address, prefix);
    const std::string head = at(address, 8);
    Bytes bytes(head, path_);
    if (bytes.take(6) != "SNOD\1\0"sv) no_file_of_ours("a list of links is of another form");
    const auto count = bytes.take<std::uint16_t>();
    const std::string entries = at(address + 8, 40 * std::uint64_t{count});
    Bytes rest(entries, path_);
    for (int i = 0; i < count; ++i) {
      const auto place = rest.take<std::uint64_t>();
      const auto object = rest.take<std::uint64_t>();
      const auto cached = rest.take<std::uint32_t>();
      rest.take(20);
      if (place >= names.size() || names.find('\0', place) == std::string::npos)
        no_file_of_ours("a name lies outside of the list of names");
      const std::string own = names.c_str() + place;
      const std::string name = prefix.empty() ? own : prefix + "/" + own;
      if (cached > 1) refuse(path_, name, "is a soft or external link");
      if (own.find('/') != std::string::npos || !is_allowed_name(name))
        refuse(path_, name, "has a name that is not allowed");
      read_object(object, name, depth);
    }
  }

  void read_object(std::uint64_t address, const std::string& name, int depth) {
    if (entered_.contains(address)) refuse(path_, name, "has more than one name");
    const ObjectHeader header = header_at(address);
    if (header.num_names != 1) refuse(path_, name, "has more than one name");
    if (header.find(kAttribute) != nullptr) refuse(path_, name, "has attributes");
    if (header.find(kLayout) != nullptr) {
      if (!contents_.datasets.emplace(name, dataset_of(header, name)).second)
        refuse(path_, name, "comes twice");
    } else if (header.find(kSymbolTable) != nullptr || header.find(kLinkInfo) != nullptr) {
      walk(header, name, depth + 1);
    } else {
      refuse(path_, name, "is neither group nor dataset");
    }
  }

  StoredDataset dataset_of(const ObjectHeader& header, const std::string& name) const {
    Bytes layout(*header.find(kLayout), path_);
    if (layout.take<std::uint8_t>() != 3 || layout.take<std::uint8_t>() != 1)
      refuse(path_, name, "is not laid out contiguously");
    if (header.find(kExternalFiles) != nullptr)
      refuse(path_, name, "keeps its data in another file");
    if (header.find(kFilters) != nullptr) refuse(path_, name, "goes through a filter");
    const std::string *type = header.find(kDatatype), *space = header.find(kDataspace);
    if (type == nullptr || space == nullptr) refuse(path_, name, "has no type or no shape");
    StoredDataset stored;
    stored.type = element_type_of(*type, path_, name);
    stored.shape = shape_of(*space, path_, name);
    const std::int64_t count = checked_product(stored.shape);
    if (count <= 0 || count > num_bytes_ / size_bytes(stored.type)) {
      refuse(path_, name,
             fmt::format("declares more (or less) than the {} bytes of the file can hold",
                         num_bytes_));
    }
    stored.num_bytes = count * size_bytes(stored.type);
    const auto offset = layout.take<std::uint64_t>();
    if (offset == kUndefined || offset > static_cast<std::uint64_t>(num_bytes_ - stored.num_bytes))
      refuse(path_, name, "declares bytes that are not in the file");
    if (layout.take<std::uint64_t>() != static_cast<std::uint64_t>(stored.num_bytes))
      refuse(path_, name, "is stored in more or fewer bytes than it declares");
    stored.offset = static_cast<std::int64_t>(offset);
    return stored;
  }

  void read_attributes(const ObjectHeader& root) {
    int count = 0;
    for (const auto& [kind, data] : root.messages) {
      if (kind != kAttribute) continue;
      if (++count > kMaxAttributes) refuse(path_, "", "has too many attributes");
      read_attribute(data, path_, contents_);
    }
  }

  const fs::path& path_;
  CheckedFile file_;
  std::int64_t num_bytes_;
  FileContents contents_;
  std::set<std::uint64_t> entered_;
};

void refuse_overlaps(const fs::path& path, const FileContents& contents) {
  std::vector<std::pair<std::int64_t, const std::string*>> order;
  for (const auto& [name, stored] : contents.datasets) order.emplace_back(stored.offset, &name);
  std::sort(order.begin(), order.end());
  for (std::size_t i = 1; i < order.size(); ++i) {
    const StoredDataset& before = contents.datasets.at(*order[i - 1].second);
    if (before.offset + before.num_bytes > order[i].first) {
      refuse(path, *order[i].second, "overlaps another dataset");
    }
  }
}

}  // namespace

FileContents inspect(const fs::path& path) {
  FileContents contents = Inspector(path).contents();
  refuse_overlaps(path, contents);
  return contents;
}

}  // namespace polyphase::hdf5
