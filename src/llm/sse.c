#include "llm/sse.h"
