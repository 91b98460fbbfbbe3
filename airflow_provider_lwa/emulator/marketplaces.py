"""Amazon's marketplaces and regions, from the page "Marketplace IDs" of the Selling Partner API."""

from __future__ import annotations

from dataclasses import dataclass

REGIONS = ("north_america", "europe", "far_east")


@dataclass(frozen=True)
class Marketplace:
    """
    One marketplace.

    :param id: Amazon's id
    :param country_code: ISO 3166
    :param region: the region whose endpoint serves it
    :param name: as Amazon spells it
    :param currency: ISO 4217
    :param language: the default language
    :param domain: its web site
    """

    id: str
    country_code: str
    region: str
    name: str
    currency: str
    language: str
    domain: str


_NORTH_AMERICA, _EUROPE, _FAR_EAST = REGIONS
MARKETPLACES = {
    marketplace.id: marketplace
    for marketplace in (
        Marketplace("ATVPDKIKX0DER", "US", _NORTH_AMERICA, "Amazon.com", "USD", "en_US", "www.amazon.com"),
        Marketplace("A2EUQ1WTGCTBG2", "CA", _NORTH_AMERICA, "Amazon.ca", "CAD", "en_CA", "www.amazon.ca"),
        Marketplace(
            "A1AM78C64UM0Y8", "MX", _NORTH_AMERICA, "Amazon.com.mx", "MXN", "es_MX", "www.amazon.com.mx"
        ),
        Marketplace(
            "A2Q3Y263D00KWC", "BR", _NORTH_AMERICA, "Amazon.com.br", "BRL", "pt_BR", "www.amazon.com.br"
        ),
        Marketplace("A1PA6795UKMFR9", "DE", _EUROPE, "Amazon.de", "EUR", "de_DE", "www.amazon.de"),
        Marketplace("A1F83G8C2ARO7P", "GB", _EUROPE, "Amazon.co.uk", "GBP", "en_GB", "www.amazon.co.uk"),
        Marketplace("A13V1IB3VIYZZH", "FR", _EUROPE, "Amazon.fr", "EUR", "fr_FR", "www.amazon.fr"),
        Marketplace("A1RKKUPIHCS9HS", "ES", _EUROPE, "Amazon.es", "EUR", "es_ES", "www.amazon.es"),
        Marketplace("APJ6JRA9NG5V4", "IT", _EUROPE, "Amazon.it", "EUR", "it_IT", "www.amazon.it"),
        Marketplace("A1805IZSGTT6HS", "NL", _EUROPE, "Amazon.nl", "EUR", "nl_NL", "www.amazon.nl"),
        Marketplace("A2NODRKZP88ZB9", "SE", _EUROPE, "Amazon.se", "SEK", "sv_SE", "www.amazon.se"),
        Marketplace("A1C3SOZRARQ6R3", "PL", _EUROPE, "Amazon.pl", "PLN", "pl_PL", "www.amazon.pl"),
        Marketplace("AMEN7PMS3EDWL", "BE", _EUROPE, "Amazon.com.be", "EUR", "fr_BE", "www.amazon.com.be"),
        Marketplace("A28R8C7NBKEWEA", "IE", _EUROPE, "Amazon.ie", "EUR", "en_IE", "www.amazon.ie"),
        Marketplace("A33AVAJ2PDY3EV", "TR", _EUROPE, "Amazon.com.tr", "TRY", "tr_TR", "www.amazon.com.tr"),
        Marketplace("A17E79C6D8DWNP", "SA", _EUROPE, "Amazon.sa", "SAR", "ar_AE", "www.amazon.sa"),
        Marketplace("A2VIGQ35RCS4UG", "AE", _EUROPE, "Amazon.ae", "AED", "en_AE", "www.amazon.ae"),
        Marketplace("ARBP9OOSHTCHU", "EG", _EUROPE, "Amazon.eg", "EGP", "ar_AE", "www.amazon.eg"),
        Marketplace("AE08WJ6YKNBMC", "ZA", _EUROPE, "Amazon.co.za", "ZAR", "en_ZA", "www.amazon.co.za"),
        Marketplace("A21TJRUUN4KGV", "IN", _EUROPE, "Amazon.in", "INR", "en_IN", "www.amazon.in"),
        Marketplace("A1VC38T7YXB528", "JP", _FAR_EAST, "Amazon.co.jp", "JPY", "ja_JP", "www.amazon.co.jp"),
        Marketplace("A39IBJ37TRP1C6", "AU", _FAR_EAST, "Amazon.com.au", "AUD", "en_AU", "www.amazon.com.au"),
        Marketplace("A19VAU5U5O7RUS", "SG", _FAR_EAST, "Amazon.sg", "SGD", "en_SG", "www.amazon.sg"),
    )
}

DEFAULT_MARKETPLACE = {
    _NORTH_AMERICA: "ATVPDKIKX0DER",
    _EUROPE: "A1PA6795UKMFR9",
    _FAR_EAST: "A1VC38T7YXB528",
}
