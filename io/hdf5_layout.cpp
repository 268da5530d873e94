// SPDX-License-Identifier: Apache-2.0
#include "io/hdf5_layout.hpp"

#include <algorithm>
#include <functional>
#include <limits>

#include "base/error.hpp"
#include "io/hdf5.hpp"
#include "io/hdf5_messages.hpp"

namespace polyphase::hdf5 {
namespace {

constexpr std::size_t kMaxDepth = 8;
constexpr std::size_t kMaxNameBytes = 512;

struct Link {
  std::string name;
  H5L_type_t kind;
};

herr_t collect_link(hid_t, const char* name, const H5L_info_t* info, void* links) {
  static_cast<std::vector<Link>*>(links)->push_back({name, info->type});
  return 0;
}

std::vector<std::int64_t> extents_of(hid_t space, const std::filesystem::path& path,
                                     const std::string& name) {
  const int rank = H5Sget_simple_extent_ndims(space);
  if (rank < 1 || rank > static_cast<int>(kMaxRank))
    refuse(path, name, "has a rank outside 1 to 8");
  hsize_t extent[kMaxRank] = {};
  hsize_t max_extent[kMaxRank] = {};
  check(H5Sget_simple_extent_dims(space, extent, max_extent), path, "read extents");
  std::vector<std::int64_t> shape;
  for (int d = 0; d < rank; ++d) {
    if (extent[d] != max_extent[d] ||
        extent[d] > static_cast<hsize_t>(std::numeric_limits<std::int64_t>::max())) {
      refuse(path, name, "has an extent that can grow or does not fit");
    }
    shape.push_back(static_cast<std::int64_t>(extent[d]));
  }
  return shape;
}

ElementType element_type_of(hid_t dataset, const std::filesystem::path& path,
                            const std::string& name) {
  const Type type(H5Dget_type(dataset), path, "read a type");
  if (H5Tequal(type, H5T_STD_U16LE) > 0) return ElementType::kUint16;
  if (H5Tequal(type, H5T_STD_U32LE) > 0) return ElementType::kUint32;
  if (H5Tequal(type, H5T_STD_I32LE) > 0) return ElementType::kInt32;
  if (H5Tequal(type, H5T_STD_I64LE) > 0) return ElementType::kInt64;
  if (H5Tequal(type, H5T_IEEE_F32LE) > 0) return ElementType::kFloat32;
  refuse(path, name, "is of a type other than uint16, uint32, int32, int64 and float32");
}

VirtualDataset virtual_dataset(hid_t dataset, const std::filesystem::path& path,
                               const std::string& name) {
  const Properties properties(H5Dget_create_plist(dataset), path, "read creation properties");
  if (H5Pget_layout(properties) != H5D_VIRTUAL) refuse(path, name, "is not a virtual dataset");
  if (element_type_of(dataset, path, name) != ElementType::kFloat32)
    refuse(path, name, "is not float32");
  const Space space(H5Dget_space(dataset), path, "read a shape");
  VirtualDataset found{extents_of(space, path, name), {}};
  std::size_t num_sources = 0;
  check(H5Pget_virtual_count(properties, &num_sources), path, "count virtual sources");
  for (std::size_t i = 0; i < num_sources; ++i) {
    char file[kMaxNameBytes] = {};
    char source[kMaxNameBytes] = {};
    if (H5Pget_virtual_filename(properties, i, file, sizeof file) >= ssize_t{sizeof file} ||
        H5Pget_virtual_dsetname(properties, i, source, sizeof source) >= ssize_t{sizeof source}) {
      refuse(path, name, "has a virtual source with a long name");
    }
    const Space box(H5Pget_virtual_vspace(properties, i), path, "read a virtual source");
    hsize_t first[kMaxRank] = {};
    hsize_t last[kMaxRank] = {};
    check(H5Sget_select_bounds(box, first, last), path, "read the bounds of a virtual source");
    VirtualSource entry{file, source, {}, {}};
    for (std::size_t d = 0; d < found.shape.size(); ++d) {
      entry.begin.push_back(static_cast<std::int64_t>(first[d]));
      entry.shape.push_back(static_cast<std::int64_t>(last[d] - first[d] + 1));
    }
    found.sources.push_back(std::move(entry));
  }
  return found;
}

using Visitor = std::function<void(hid_t dataset, const std::string& name)>;

// Hands every dataset below `group` to `visit`. One hard link an object keeps loops and shared
// subtrees out.
void walk(hid_t group, const std::string& prefix, const std::filesystem::path& path,
          const Visitor& visit) {
  std::vector<Link> links;
  check(H5Literate(group, H5_INDEX_NAME, H5_ITER_INC, nullptr, collect_link, &links), path,
        "list a group");
  for (const Link& link : links) {
    const std::string name = prefix.empty() ? link.name : prefix + "/" + link.name;
    if (link.kind != H5L_TYPE_HARD) refuse(path, name, "is a soft or external link");
    if (!is_allowed_name(name)) refuse(path, name, "has a name that is not allowed");
    const Object object(H5Oopen(group, link.name.c_str(), H5P_DEFAULT), path, "open an object");
    H5O_info_t info = {};
    check(H5Oget_info(object, &info), path, "look at an object");
    if (info.rc != 1) refuse(path, name, "has more than one name");
    if (info.num_attrs != 0) refuse(path, name, "has attributes");
    if (info.type == H5O_TYPE_GROUP) {
      walk(object, name, path, visit);
    } else if (info.type == H5O_TYPE_DATASET) {
      visit(object, name);
    } else {
      refuse(path, name, "is neither group nor dataset");
    }
  }
}

}  // namespace

std::int64_t size_bytes(ElementType type) {
  switch (type) {
    case ElementType::kUint16:
      return 2;
    case ElementType::kInt64:
      return 8;
    default:
      return 4;
  }
}

const char* name_of(ElementType type) {
  switch (type) {
    case ElementType::kUint16:
      return "uint16";
    case ElementType::kUint32:
      return "uint32";
    case ElementType::kInt32:
      return "int32";
    case ElementType::kInt64:
      return "int64";
    case ElementType::kFloat32:
      return "float32";
  }
  return "unknown";
}

bool is_allowed_name(const std::string& name) {
  if (name.empty() || name.size() > kMaxNameBytes - 1) return false;
  std::size_t depth = 0;
  for (std::size_t begin = 0; begin <= name.size();) {
    const std::size_t end = std::min(name.find('/', begin), name.size());
    const std::string part = name.substr(begin, end - begin);
    const bool plain = std::all_of(part.begin(), part.end(), [](unsigned char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '_' || c == '-' || c == '.';
    });
    if (part.empty() || part == "." || part == ".." || !plain || ++depth > kMaxDepth) return false;
    begin = end + 1;
  }
  return true;
}

std::int64_t checked_product(const std::vector<std::int64_t>& shape) {
  std::int64_t product = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || __builtin_mul_overflow(product, extent, &product)) return -1;
  }
  return product;
}

std::map<std::string, VirtualDataset> inspect_virtual(const std::filesystem::path& path) {
  const Session session;
  const File file = open_to_read(path);
  std::map<std::string, VirtualDataset> found;
  read_with([&] {
    walk(file, "", path, [&](hid_t dataset, const std::string& name) {
      found[name] = virtual_dataset(dataset, path, name);
    });
  });
  return found;
}

}  // namespace polyphase::hdf5
