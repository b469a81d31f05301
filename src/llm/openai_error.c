#include "llm/openai.h"
