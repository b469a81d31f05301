/* The shape of single texts: addresses, URLs, names. Each syntax_ check returns NULL when the text
 * is fine, else what to say behind it ("is not an address"). */
#ifndef CONTROL_CONFIG_SYNTAX_H
#define CONTROL_CONFIG_SYNTAX_H

#include "base/slice.h"

const char *syntax_address(struct slice s);   /* 127.0.0.1:80, [::1]:80, localhost:80, unix:/path */
const char *syntax_prefix(struct slice s);    /* 10.0.0.0/8, ::1 */
const char *syntax_resolver(struct slice s);  /* 10.0.0.2, 10.0.0.2:5353, [::1]:53 */
const char *syntax_url(struct slice s);       /* http or https, without credentials or a query */
const char *syntax_proxy_url(struct slice s); /* the same; may hold credentials, has no path */
const char *syntax_origin(struct slice s);    /* https://example.com, or an asterisk */
const char *syntax_name(struct slice s);      /* of a provider, an engine or a key */
const char *syntax_provider_name(struct slice s);
const char *syntax_alias(struct slice s);
const char *syntax_header_name(struct slice s); /* one that a provider's headers may set */
const char *syntax_host(struct slice s);        /* a DNS name */
const char *syntax_sha256(struct slice s);
const char *syntax_path(struct slice s); /* of a passthrough */
const char *syntax_log_target(struct slice s);
const char *syntax_engine_argument(struct slice s);
const char *syntax_cloud_label(struct slice s); /* of a region or a resource: part of a host name */
const char *syntax_cloud_id(struct slice s);    /* of a project, a tenant, a client, a version */
const char *syntax_azure_surface(struct slice s);
const char *syntax_vertex_publisher(struct slice s);
const char *syntax_sagemaker_body(struct slice s);
const char *syntax_feature(struct slice s);
const char *syntax_tail_pattern(struct slice s);  /* one that may end in an asterisk */
const char *syntax_price_pattern(struct slice s); /* provider/model, the same */
const char *syntax_may_set(struct slice s);
const char *syntax_hedge_after(struct slice s); /* p95, or a duration */
const char *syntax_last_resort(struct slice s);
const char *syntax_alert_percent(struct slice s);
const char *syntax_webhook(struct slice s); /* as syntax_url, but may have a query */

/* Is an address that passed syntax_address reachable from this machine alone? */
bool syntax_address_is_local(struct slice s);
/* Does its port change with every start (port 0)? */
bool syntax_address_has_port_0(struct slice s);

/* Can a pattern with asterisks match `prefix` followed by at least one more byte? / match `s`? */
bool syntax_pattern_fits_prefix(struct slice pattern, struct slice prefix);
bool syntax_pattern_matches(struct slice pattern, struct slice s);

#endif
