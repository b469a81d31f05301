#include "llm/provider.h"
