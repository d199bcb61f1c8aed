# The shape of the quick start of jupyterhub-usage-quotas 0.2, with other names.
import os

from jupyterhub_usage_quotas import setup_usage_quotas

c.UsageQuotaManager.prometheus_url: "http://prometheus:9090"
c.UsageQuotaManager.metrics_exporter_token = os.environ["EXPORTER"]
c.UsageQuotaManager.scope_fallback_strategy = {
    "empty": {"resource": "memory", "limit": "300G", "window": 7},
    "intersection": "sum",
}
c.UsageQuotaManager.policy = [
    {"resource": "memory", "limit": "5000G", "window": 30, "scope": {"group": ["lab", "guests"]}},
    {"resource": "memory", "limit": "1500G", "window": 7, "scope": {"group": ["lab"]}},
    {"resource": "memory", "limit": "500G", "window": 7, "scope": {"group": ["lab"]}},
    {"resource": "cpu", "limit": "2M", "window": 30, "scope": {"group": ["lab"]}},
    {"resource": "cpu", "limit": 40, "window": 0.5, "scope": {"group": ["guests"]}},
    {"resource": "memory", "limit": "10g", "window": 1, "scope": {"group": ["guests"]}},
    {"resource": "gpu", "limit": 10, "window": 30, "scope": {"group": ["lab"]}},
    {"resource": "memory", "limit": "1T", "window": 90, "scope": {}},
    {"resource": "memory", "limit": QUOTA, "window": 90, "scope": {"group": ["lab"]}},
]
setup_usage_quotas(c)
