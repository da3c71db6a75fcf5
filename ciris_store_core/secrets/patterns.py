"""Patterns of secrets: the built-in kinds, and the class for further ones."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ciris_store_core.errors import InvalidArgument
from ciris_store_core.models.secrets import Sensitivity
from ciris_store_core.secrets.references import DESCRIPTION

_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SecretPattern:
    """A kind of secret, found in texts by a regular expression.

    The match of the group ``secret`` is the secret; without such a group, the whole match. The expression is searched
    in every text that is written: keep its quantifiers bounded, or possessive (``++``), and do not nest them.
    """

    name: str
    """Such as ``employee_id``; it is part of the references, with spaces in place of ``_``."""
    regex: str | re.Pattern[str] = ""
    sensitivity: Sensitivity = Sensitivity.HIGH

    def __post_init__(self) -> None:
        """Refuse what cannot be part of a reference, or cannot be searched for."""
        if not _NAME.fullmatch(self.name):
            raise InvalidArgument(
                "the name of a SecretPattern must be 1 to 40 of a-z, 0-9 and _, beginning with a letter, "
                f"not {ascii(self.name)[:60]}"
            )
        object.__setattr__(self, "sensitivity", Sensitivity.parse(self.sensitivity))
        try:
            compiled = re.compile(self.regex)
        except (re.error, TypeError) as error:
            raise InvalidArgument(
                f"the regex of SecretPattern {self.name!r} cannot be used ({error}). Fix it."
            ) from None
        object.__setattr__(self, "regex", compiled)

    @property
    def description(self) -> str:
        """Name of such a secret in references."""
        text = self.name.replace("_", " ")
        assert DESCRIPTION.fullmatch(text)
        return text


CRITICAL, HIGH = Sensitivity.CRITICAL, Sensitivity.HIGH

# Kinds whose finding takes more than one expression; see the detector.
PRIVATE_KEY = SecretPattern("private_key", sensitivity=CRITICAL)
CARD_NUMBER = SecretPattern("card_number", sensitivity=CRITICAL)
SSN = SecretPattern("us_ssn", sensitivity=CRITICAL)
RECOVERY_PHRASE = SecretPattern("recovery_phrase", sensitivity=CRITICAL)
PIN = SecretPattern("pin", sensitivity=CRITICAL)
PASSWORD = SecretPattern("password", sensitivity=HIGH)
API_KEY = SecretPattern("api_key", sensitivity=HIGH)
TOKEN = SecretPattern("token", sensitivity=HIGH)
SECRET = SecretPattern("secret", sensitivity=HIGH)
URL_CREDENTIALS = SecretPattern("url_credentials", sensitivity=HIGH)
BEARER_TOKEN = SecretPattern("bearer_token", sensitivity=HIGH)
JWT = SecretPattern("jwt", sensitivity=HIGH)

ELSEWHERE = (
    PRIVATE_KEY, CARD_NUMBER, SSN, RECOVERY_PHRASE, PIN, PASSWORD, API_KEY, TOKEN, SECRET, URL_CREDENTIALS,
    BEARER_TOKEN, JWT,
)  # fmt: skip

# Tokens that say by their beginning whose they are. Every quantifier is possessive, so none is ever taken back.
TOKENS: dict[str, str] = {
    "aws_access_key": r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}+(?![A-Za-z0-9])",
    "github_token": r"gh[pousr]_[A-Za-z0-9]{36,255}+|github_pat_[A-Za-z0-9_]{22,255}+",
    "gitlab_token": r"gl(?:pat|dt|rt|ptt|ft|soat|cbt|imt|agent|oas|ffct)-[A-Za-z0-9_=.-]{20,300}+",
    "slack_token": r"xox[abeoprsd](?:\.xox[bp])?-[A-Za-z0-9-]{10,300}+|xapp-\d-[A-Za-z0-9-]{20,300}+",
    "slack_webhook": r"hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_+-]{20,120}+",
    "discord_webhook": r"discord(?:app)?\.com/api/webhooks/\d{17,20}/[A-Za-z0-9_-]{60,80}+",
    "anthropic_key": r"sk-ant-[A-Za-z0-9_-]{16,300}+",
    "langfuse_key": r"sk-lf-[0-9a-f]{8}-[0-9a-f-]{27}+",
    "openai_key": r"sk-(?:proj-|svcacct-|admin-|None-)?[A-Za-z0-9_-]{20,300}+",
    "openrouter_key": r"sk-or-v1-[0-9a-f]{64}+",
    "stripe_key": r"(?:sk|rk)_(?:live|test|prod)_[A-Za-z0-9]{16,250}+|whsec_[A-Za-z0-9+/=]{24,100}+",
    "google_key": r"AIza[A-Za-z0-9_-]{35}+|ya29\.[A-Za-z0-9_-]{20,500}+|GOCSPX-[A-Za-z0-9_-]{28}+",
    "sendgrid_key": r"SG\.[A-Za-z0-9_-]{20,24}+\.[A-Za-z0-9_-]{39,50}+",
    "twilio_key": r"SK[0-9a-f]{32}+(?![A-Za-z0-9])",
    "mailgun_key": r"key-[0-9a-f]{32}+(?![A-Za-z0-9])",
    "mailchimp_key": r"[0-9a-f]{32}+-us\d{1,2}+(?![A-Za-z0-9])",
    "npm_token": r"npm_[A-Za-z0-9]{36}+",
    "pypi_token": r"pypi-[A-Za-z0-9_-]{50,500}+",
    "huggingface_token": r"(?:hf|api_org)_[A-Za-z0-9]{30,60}+",
    "telegram_token": r"\d{8,10}+:AA[A-Za-z0-9_-]{33}+",
    "discord_token": r"[MNO][A-Za-z0-9_-]{23,27}+\.[A-Za-z0-9_-]{6}+\.[A-Za-z0-9_-]{27,45}+",
    "digitalocean_token": r"do[opr]_v1_[0-9a-f]{64}+",
    "shopify_token": r"shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32}+",
    "databricks_token": r"dapi[0-9a-f]{32}+",
    "vault_token": r"hv[sbr]\.[A-Za-z0-9_-]{24,300}+",
    "square_token": r"sq0(?:atp|csp)-[A-Za-z0-9_-]{22,50}+|EAAA[A-Za-z0-9_-]{60}+",
    "facebook_token": r"EAA[A-Za-z0-9]{60,300}+",
    "notion_token": r"ntn_[A-Za-z0-9]{40,60}+|secret_[A-Za-z0-9]{43}+(?![A-Za-z0-9])",
    "linear_key": r"lin_(?:api|oauth)_[A-Za-z0-9]{32,64}+",
    "grafana_token": r"gl(?:sa|c)_[A-Za-z0-9+/_=]{32,400}+",
    "groq_key": r"gsk_[A-Za-z0-9]{40,60}+",
    "xai_key": r"xai-[A-Za-z0-9]{60,100}+",
    "replicate_token": r"r8_[A-Za-z0-9]{37,40}+",
    "perplexity_key": r"pplx-[A-Za-z0-9]{40,60}+",
    "newrelic_key": r"NRAK-[A-Z0-9]{27}+",
    "postman_key": r"PMAK-[0-9a-f]{24}+-[0-9a-f]{34}+",
    "figma_token": r"fig[dou]_[A-Za-z0-9_-]{40,60}+",
    "doppler_token": r"dp\.(?:pt|st|ct|sa|scim|audit)\.[A-Za-z0-9._-]{40,80}+",
    "terraform_token": r"[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70}+",
    "planetscale_token": r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.-]{32,64}+",
    "age_key": r"AGE-SECRET-KEY-1[0-9A-Z]{58}+",
    "pulumi_token": r"pul-[0-9a-f]{40}+",
    "docker_token": r"dckr_(?:pat|oat)_[A-Za-z0-9_-]{27,40}+",
    "atlassian_token": r"ATATT3[A-Za-z0-9_=-]{100,300}+",
    "onepassword_key": r"A3-[A-Z0-9]{6}-[A-Z0-9-]{11,13}(?:-[A-Z0-9]{5}){3}|ops_eyJ[A-Za-z0-9+/=]{100,}+",
    "adobe_secret": r"p8e-[A-Za-z0-9]{32}+(?![A-Za-z0-9])",
    "airtable_token": r"pat[A-Za-z0-9]{14}\.[0-9a-f]{64}+",
    "alibaba_key": r"LTAI[A-Za-z0-9]{16,20}+(?![A-Za-z0-9])",
    "artifactory_token": r"AKCp[A-Za-z0-9]{60,75}+|cmVmd[A-Za-z0-9]{59}+(?![A-Za-z0-9])",
    "aws_bedrock_key": r"ABSK[A-Za-z0-9+/]{100,280}+={0,2}|bedrock-api-key-[A-Za-z0-9+/=]{20,}+",
    "bitbucket_token": r"AT(?:CTT3[A-Za-z0-9_=-]{60,300}+|BB[A-Za-z0-9]{28,40}+(?![A-Za-z0-9]))",
    "brevo_key": r"x(?:key|smtp)sib-[0-9a-f]{64}-[A-Za-z0-9]{16}+",
    "buildkite_token": r"bkua_[0-9a-f]{40}+",
    "clickhouse_key": r"4b1d[A-Za-z0-9]{38}(?![A-Za-z0-9])",
    "clojars_token": r"CLOJARS_[A-Za-z0-9]{60}+",
    "cloudflare_ca_key": r"v1\.0-[0-9a-f]{24}-[0-9a-f]{146}+",
    "contentful_token": r"CFPAT-[A-Za-z0-9_-]{43}+",
    "defined_token": r"dnkey-[A-Za-z0-9_=-]{26}-[A-Za-z0-9_=-]{52}+",
    "dropbox_token": r"sl\.[A-Za-z0-9_=-]{100,}+",
    "duffel_token": r"duffel_(?:test|live)_[A-Za-z0-9_=-]{43}+",
    "dynatrace_token": r"dt0[a-z]\d\d\.[A-Z0-9]{24}\.[A-Z0-9]{64}+",
    "easypost_key": r"EZ[AT]K[A-Za-z0-9]{54}+",
    "fireworks_key": r"fw_[A-Za-z0-9]{22,40}+(?![A-Za-z0-9_])",
    "flutterwave_key": r"FLWSECK(?:_TEST)?-[A-Za-z0-9]{12,40}+",
    "fly_token": r"fo1_[A-Za-z0-9_-]{43}+|fm(?:1[ar]|2)_[A-Za-z0-9+/=]{100,}+",
    "frameio_token": r"fio-u-[A-Za-z0-9_=-]{64}+",
    "gitlab_runner_token": r"GR1348941[A-Za-z0-9_-]{20}+",
    "grafana_key": r"eyJrIjoi[A-Za-z0-9+/=_-]{60,400}+",
    "harness_token": r"[ps]at\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{20}+",
    "heroku_key": r"HRKU-AA[A-Za-z0-9_-]{58}+",
    "infracost_token": r"ico-[A-Za-z0-9]{32}+(?![A-Za-z0-9])",
    "intra42_secret": r"s-s4t2(?:ud|af)-[0-9a-f]{64}+",
    "jina_key": r"jina_[A-Za-z0-9_-]{50,80}+",
    "langsmith_key": r"lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}+",
    "maxmind_key": r"[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk(?![A-Za-z0-9])",
    "netlify_token": r"nf[pcou]_[A-Za-z0-9]{36}+",
    "newrelic_token": r"NRII-[A-Za-z0-9-]{32}+|NRJS-[0-9a-f]{19}+",
    "nvidia_key": r"nvapi-[A-Za-z0-9_-]{60,80}+",
    "octopus_key": r"API-[A-Z0-9]{25,32}+(?![A-Za-z0-9-])",
    "openshift_token": r"sha256~[A-Za-z0-9_-]{43}+(?![A-Za-z0-9_-])",
    "pinecone_key": r"pcsk_[A-Za-z0-9_]{60,80}+",
    "plaid_token": r"access-(?:sandbox|development|production)-[0-9a-f]{8}-[0-9a-f-]{27}+",
    "posthog_key": r"phx_[A-Za-z0-9]{40,50}+",
    "prefect_token": r"pn[ub]_[A-Za-z0-9]{36}+",
    "readme_key": r"rdme_[a-z0-9A-Z]{70}+",
    "render_key": r"rnd_[A-Za-z0-9]{28,40}+",
    "resend_key": r"re_[A-Za-z0-9]{8}_[A-Za-z0-9]{20,28}+(?![A-Za-z0-9_])",
    "rubygems_key": r"rubygems_[0-9a-f]{48}+",
    "scalingo_token": r"tk-us-[A-Za-z0-9_-]{48}+",
    "sentry_token": r"sntry[su]_[A-Za-z0-9+/=_]{60,500}+",
    "settlemint_token": r"sm_[aps]at_[A-Za-z0-9]{16}+",
    "shippo_token": r"shippo_(?:live|test)_[0-9a-fA-F]{40}+",
    "sonar_token": r"sq[upa]_[0-9a-f]{40}+",
    "sourcegraph_token": r"sgp_(?:(?:[0-9a-fA-F]{16}|local)_)?[0-9a-fA-F]{40}+",
    "supabase_key": r"sbp_[0-9a-f]{40}+|sb_secret_[A-Za-z0-9_-]{28,40}+",
    "tailscale_key": r"tskey-[a-z]{2,12}-[A-Za-z0-9]{8,24}(?:CNTRL)?-[A-Za-z0-9]{20,60}+",
    "tavily_key": r"tvly-[A-Za-z0-9-]{28,60}+",
    "teams_webhook": r"[A-Za-z0-9]{1,40}\.webhook\.office\.com/webhookb2/[A-Za-z0-9@/-]{60,250}+",
    "typeform_token": r"tfp_[A-Za-z0-9_.=-]{40,70}+",
    "wakatime_key": r"waka_[0-9a-f]{8}-[0-9a-f-]{27}+",
    "yandex_token": r"AQVN[A-Za-z0-9_-]{35,38}+|t1\.[A-Za-z0-9_-]{20,}+={0,2}\.[A-Za-z0-9_-]{86}+={0,2}",
    "zuplo_key": r"zpka_[0-9a-f]{32}_[0-9a-f]{8}+",
    "azure_sas": r"sig=[A-Za-z0-9/+_-]{30,60}+(?:%2[FBfb][A-Za-z0-9/+_-]{0,60}+){0,6}(?:%3[Dd]|=){0,2}",
    "azure_secret": r"[A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}+",
}

# They are compiled as one, where they are searched for.
_VENDORS = {name: SecretPattern(name, sensitivity=HIGH) for name in TOKENS}

BUILT_IN = {pattern.name: pattern for pattern in (*ELSEWHERE, *_VENDORS.values())}
"""Every built-in kind, by name."""
