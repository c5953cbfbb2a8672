// <linux/virtio_net.h> for C++: one of its fields is called "class".
#pragma once

#define class class_
#include <linux/virtio_net.h>  // IWYU pragma: export
#undef class
