"""User agent strings and headers: who is a person, who a program, and what both are called."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from hypothesis import given
from hypothesis import strategies as st

from vestibule.core import agents
from vestibule.core.agents import Agent
from vestibule.recorder.lookups import MISTAKEN, Agents, Countries, Tables, crawler_patterns

NOW = 1_795_000_000.0
"""2026-11-18."""

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
KHTML = "AppleWebKit/537.36 (KHTML, like Gecko)"
CHROME = f"{WINDOWS} Chrome/131.0.0.0 Safari/537.36"

# Strings of browsers, apps and devices that people use, or used: none is a bot.
PEOPLE = (
    ("Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
        "Safari/537.36 Edg/131.0.0.0"
    ),
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:132.0) Gecko/20100101 Firefox/132.0",
    "Mozilla/5.0 (Windows NT 10.0; rv:109.0) Gecko/20100101 Firefox/115.0",
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 "
        "Safari/605.1.15"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/18.1 Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (iPad; CPU OS 17_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.6 "
        "Mobile/15E148 Safari/604.1"
    ),
    ("Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36"),
    (
        "Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 "
        "Chrome/121.0.0.0 Mobile Safari/537.36"
    ),
    "Mozilla/5.0 (Android 14; Mobile; rv:131.0) Gecko/131.0 Firefox/131.0",
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "CriOS/125.0.6422.80 Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "FxiOS/126.0 Mobile/15E148 Safari/605.1.15"
    ),
    (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0.0.0 Safari/537.36 "
        "OPR/115.0.0.0"
    ),
    ("Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"),
    "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
    "Mozilla/5.0 (Windows NT 10.0; WOW64; Trident/7.0; rv:11.0) like Gecko",
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)",
    "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 5.1; Trident/4.0; .NET CLR 2.0.50727)",
    (
        "Mozilla/4.0 (compatible; MSIE 6.0; Windows NT 5.1; SV1; EmbeddedWB 14.52 from: http://www.bsalsa.com/ "
        "EmbeddedWB 14.52)"
    ),
    "Mozilla/5.0 (compatible; Konqueror/4.5; FreeBSD) KHTML/4.5.4 (like Gecko)",
    (
        "Mozilla/5.0 (Linux; Android 14; Pixel 8 Build/UD1A.230803.041; wv) AppleWebKit/537.36 (KHTML, like "
        "Gecko) Version/4.0 Chrome/119.0.6045.66 Mobile Safari/537.36 [FB_IAB/FB4A;FBAV/441.0.0.23.113;]"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Mobile/15E148 "
        "[FBAN/FBIOS;FBAV/440.0.0.28.105;FBBV/537900000;FBDV/iPhone14,5;FBMD/iPhone;FBSN/iOS;FBSV/17.1;FBSS/3;FBID/phone;FBLC/de_DE;FBOP/5]"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Mobile/21B74 Instagram 309.1.0.25.109 (iPhone14,5; iOS 17_1; de_DE; de; scale=3.00; 1170x2532; "
        "541635897)"
    ),
    (
        "Mozilla/5.0 (Linux; Android 15; CPH2557 Build/AP3A.240617.008; wv) AppleWebKit/537.36 (KHTML, like "
        "Gecko) Version/4.0 Chrome/142.0.7444.142 Mobile Safari/537.36 Instagram 406.0.0.58.159 Android (35/15; "
        "480dpi; 1080x2400; OPPO; CPH2557; OP573DL1; mt6833; en_MY; 822918295; IABMV/1)"
    ),
    (
        "Mozilla/5.0 (Linux; Android 16; Pixel 10 Pro XL Build/CP1A.260305.018; wv) AppleWebKit/537.36 (KHTML, "
        "like Gecko) Version/4.0 Chrome/146.0.7680.174 Mobile Safari/537.36 MetaIAB Facebook"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Mobile/15E148 LinkedInApp"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "GSA/280.3.559 Mobile/15E148 Safari/604.1"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 16_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Mobile/15E148 MicroMessenger/8.0.38(0x1800262c) NetType/WIFI Language/zh_CN"
    ),
    (
        "Mozilla/5.0 (Linux; Android 12; M2102J20SG Build/SKQ1.211006.001; wv) AppleWebKit/537.36 (KHTML, like "
        "Gecko) Version/4.0 Chrome/111.0.5563.116 Mobile Safari/537.36 trill_2022802060 BytedanceWebview/d8a21c6"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Mobile/15E148 Snapchat/12.36.0.40 (like Safari/8615.2.9.10.4, panda)"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 16_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Mobile/15E148 [Pinterest/iOS]"
    ),
    (
        "Mozilla/5.0 (Linux; Android 9; KFMAWI) AppleWebKit/537.36 (KHTML, like Gecko) Silk/108.4.6 like "
        "Chrome/108.0.5359.160 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/122.0.0.0 "
        "YaBrowser/24.4.0.0 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "coc_coc_browser/120.0.0 Chrome/114.0.0.0 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; WOW64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.87 "
        "Safari/537.36 SE 2.X MetaSr 1.0"
    ),
    (
        "Mozilla/5.0 (Linux; U; Android 9; zh-cn; Redmi 6 Build/PPR1.180610.011) AppleWebKit/533.1 (KHTML, like "
        "Gecko) Version/4.0 Mobile Safari/533.1 SogouMSE,SogouMobileBrowser/5.22.8"
    ),
    (
        "Mozilla/5.0 (Linux; Android 10; CUBOT_NOTE_20) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/96.0.4664.104 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; Android 8.1; CUBOT X18 Plus Build/O11019) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/96.0.4664.104 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Linux; Android 7.0; CUBOT CHEETAH 2) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/70.0.0.0 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Notion/2.0.40 "
        "Chrome/106.0.5249.199 Electron/21.4.0 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Code/1.96.0 "
        "Chrome/128.0.6613.186 Electron/32.2.6 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Slack/4.38.125 "
        "Chrome/124.0.6367.118 Electron/30.0.6 Safari/537.36 Sonic Slack_SSB/4.38.125"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Teams/1.5.00.8070 "
        "Chrome/85.0.4183.121 Electron/10.4.7 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Windows; U; Windows NT 5.1; en-US) AppleWebKit/525.13 (KHTML, like Gecko) "
        "Chrome/0.2.149.27 Safari/525.13"
    ),
    (
        "Mozilla/5.0 (LG-T500 AppleWebkit/531 Browser/Phantom/V2.0 Widget/LGMW/3.0 MMS/LG-MMS-V1.0/1.2 "
        "Java/ASVM/1.1 Profile/MIDP-2.1 Configuration/CLDC-1.1)"
    ),
    (
        "Mozilla/4.0 (Vodafone/1.0/LG-GU280/v10a Browser/Obigo-Q7.3 MMS/LG-MMS-V1.0/1.2 Java/ASVM/1.1 "
        "Profile/MIDP-2.1 Configuration/CLDC-1.1)"
    ),
    (
        "Nokia201/2.0 (11.21) Profile/MIDP-2.1 Configuration/CLDC-1.1 Mozilla/5.0 (Java; U; en-us; nokia201) "
        "UCBrowser8.3.0.154/70/355/UCWEB Mobile"
    ),
    (
        "Mozilla/5.0 (Windows; U; Windows NT 6.1; en-US; rv:1.9.3a1) Gecko/20100208 "
        "MozillaDeveloperPreview/3.7a1 (.NET CLR 3.5.30729)"
    ),
    (
        "Mozilla/5.0 (X11; U; Linux i686; th-TH@calendar=gregorian) AppleWebKit/534.12 (KHTML, like Gecko) "
        "Puffin/1.3.2665MS Safari/534.12"
    ),
    "HbbTV/1.1.1 (;;;;;) firetv-firefox-plugin 1.1.20",
    "HbbTV/1.1.1 (;Samsung;SmartTV2013;T-FXPDEUC-1102.2;;) WebKit",
    "Bunjalloo/0.7.6(Nintendo DS;U;en)",
    "MQQBrowser/Mini2.8 (ZTE-X990/X990_V2_Z12_ESFR_D18F100)",
    "ICE Browser/5.05 (Java 1.4.0; Windows 2000 5.0 x86)",
    "Dolphin 6.5.1 (iPad; iPhone OS 6.1.3; de_DE)",
    "iBrowser/Mini2.8 (Nokia5130c-2/07.97)",
    (
        "Opera/9.80 (J2ME/MIDP; Opera Mini/9 (Compatible; MSIE:9.0; iPhone; BlackBerry9700; AppleWebKit/24.746; "
        "U; en) Presto/2.5.25 Version/10.54"
    ),
    "Opera/9.80 (Windows NT 6.1; WOW64) Presto/2.12.388 Version/12.18",
    "Lynx/2.8.9rel.1 libwww-FM/2.14 SSL-MM/1.4.1 OpenSSL/1.1.1d",
    "Links (2.21; Linux 5.10.0-8-amd64 x86_64; GNU C 10.2.1; text)",
    "ELinks/0.13.1 (textmode; Linux 4.19.0; 143x41-2)",
    "w3m/0.5.3+git20210102",
    (
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/16.0 Safari/605.1.15 "
        "Epiphany/605.1.15"
    ),
    (
        "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 "
        "Safari/605.1.15"
    ),
    (
        "Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) AppleWebKit/537.36 (KHTML, like Gecko) 76.0.3809.146/6.0 TV "
        "Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/79.0.3945.79 "
        "Safari/537.36 WebAppManager"
    ),
    (
        "Mozilla/5.0 (Nintendo Switch; WifiWebAuthApplet) AppleWebKit/609.4 (KHTML, like Gecko) NF/6.0.2.21.3 "
        "NintendoBrowser/5.1.0.22474"
    ),
    (
        "Mozilla/5.0 (Linux; Android 13; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Version/4.0 "
        "Chrome/124.0.0.0 Mobile DuckDuckGo/5 Safari/537.36"
    ),
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 "
        "Safari/605.1.15 Ddg/17.4"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
        "Safari/537.36 AVG/131.0.0.0"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 "
        "Safari/537.36 Avast/131.0.0.0"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64; ServiceUI 14) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/70.0.3538.102 Safari/537.36 Edge/18.18363"
    ),
    "Mozilla/5.0 (Windows NT 6.1; Win64; x64; rv:60.0) Gecko/20100101 Firefox/60.0 SeaMonkey/2.53.1",
    "Mozilla/5.0 (X11; Linux x86_64; rv:52.9) Gecko/20100101 Goanna/3.4 Firefox/52.9 PaleMoon/27.6.0",
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 16_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Mobile/15E148 PayPal/8.40.0"
    ),
    (
        "Mozilla/5.0 (Linux; Android 6.0.1; SHIELD Tablet K1 Build/MRA58K; wv) AppleWebKit/537.36 (KHTML, like "
        "Gecko) Version/4.0 Chrome/55.0.2883.91 Safari/537.36"
    ),
    "Mozilla/5.0 (BB10; Touch) AppleWebKit/537.10+ (KHTML, like Gecko) Version/10.0.9.2372 Mobile Safari/537.10+",
    (
        "Mozilla/5.0 (Linux; U; Android 13; de-de; Xiaomi 12 Build/TKQ1.220829.002) AppleWebKit/537.36 (KHTML, "
        "like Gecko) Version/4.0 Chrome/100.0.4896.127 Mobile Safari/537.36 XiaoMi/MiuiBrowser/14.3.1-gn"
    ),
    (
        "Mozilla/5.0 (Linux; Android 12; HarmonyOS; ELS-AN00; HMSCore 6.8.0.332) AppleWebKit/537.36 (KHTML, like "
        "Gecko) Chrome/99.0.4844.88 HuaweiBrowser/12.1.3.303 Mobile Safari/537.36"
    ),
    (
        "Mozilla/5.0 (X11; U; Linux armv7l like Android; en-us) AppleWebKit/531.2+ (KHTML, like Gecko) "
        "Version/5.0 Safari/533.2+ Kindle/3.0+"
    ),
    (
        "Mozilla/5.0 (Linux; U; Android 2.0; en-us;) AppleWebKit/538.1 (KHTML, like Gecko) Version/4.0 Mobile "
        "Safari/538.1 (Kobo Touch 0377/4.20.14622)"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Mobile/15E148 Flipboard/4.3.13"
    ),
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/110.0.0.0 "
        "Safari/537.36 Whale/3.19.166.16"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 15_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Mobile/15E148 DaumApps/2.7 DaumDevice/mobile"
    ),
    (
        "Mozilla/5.0 (Linux; Android 11; SM-A515F) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/97.0.0.0 Mobile "
        "Safari/537.36 NAVER(inapp; search; 1010; 11.4.2)"
    ),
    "Mozilla/5.0 (X11; Linux x86_64; rv:102.0) Gecko/20100101 Thunderbird/102.5.0",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)",
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
        "Version/26.0 Mobile/15E148 Safari/604.1"
    ),
    (
        "[FBAN/FB4A;FBAV/3.6;FBBV/330148;FBDM/{density=0.75,width=240,height=320};FBLC/de_DE;FBCR/o2 - "
        "de;FBPN/com.facebook.katana;FBDV/GT-S5570;FBSV/2.2.1;FBCA/armeabi:unknown;]"
    ),
    "Roku/DVP-6.2 (096.02E06005A)",
    (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_12_4) AppleWebKit/537.36 (KHTML, like Gecko) AtomShell/2.6.0 "
        "Chrome/56.0.2924.87 Electron/1.6.3 Safari/537.36 MacAppStore/16.5.0 Slack_SSB/2.6.0"
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 11_2_5 like Mac OS X) AppleWebKit/534.46 (KHTML, like Gecko) "
        "Version/11.2.5 Mobile/9B179 Safari/7534.48.3 OktaMobile/5.10.2"
    ),
    (
        "Mozilla/4.0 (compatible; MSIE 7.0; Windows NT 10.0; WOW64; Trident/8.0; .NET4.0C; Microsoft Outlook "
        "16.0.6366; ms-office; MSOffice 16)"
    ),
    "Outlook-Express/7.0 (MSIE 7.0; Windows NT 6.1; Trident/4.0; SLCC2; TmstmpExt)",
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 10_0_2 like Mac OS X) AppleWebKit/602.1.50 (KHTML, like Gecko) "
        "AppleNews/608.0.1 Version/2.0.1"
    ),
    (
        "Mozilla/5.0 (iPad; CPU OS 12_3_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 "
        "TopBuzz com.alex.NewsMaster/8.2.1 (iPad; iOS 12.3.1; en; WIFI)"
    ),
    "Mozilla/5.0 (X11; Linux x86_64; rv:55.0) Gecko/20100101 Goanna/4.0 Firefox/55.0 Basilisk/20171113",
    (
        "Mozilla/5.0 (Linux; U; Android 7.1.2; ru-ru; Redmi 4A Build/N2G47H) AppleWebKit/537.36 (KHTML, like "
        "Gecko) Version/4.0 Chrome/61.0.3163.128 Mobile Safari/537.36 XiaoMi/Mint Browser/1.3.3"
    ),
    (
        ""
        "Mozilla/5.0+(iPhone;+CPU+iPhone+OS+9_3_1+like+Mac+OS+X)+AppleWebKit/601.1.46+(KHTML,+like+Gecko)+Version/9.0+Mobile/13E238+Safari/601.1"
    ),
    "Mozilla/5.0 (X11; U; Linux x86_64; en-US; rv:1.9.2.12) Gecko/20101027 Ubuntu/10.04 (lucid) Firefox/3.6.12",
    "Mozilla/5.0 (X11; Linux i686 (x86_64); rv:2.0b4) Gecko/20100818 Firefox/4.0b4",
    "Mozilla/4.0 (compatible; Linux 2.6.10) NetFront/3.3 Kindle/1.0 (screen 600x800)",
    (
        "Mozilla/5.0 (Mobile; Windows Phone 8.1; Android 4.0; ARM; Trident/7.0; Touch; rv:11.0; IEMobile/11.0; "
        "NOKIA; Lumia 920)"
    ),
    (
        "Mozilla/5.0 (PlayBook; U; RIM Tablet OS 1.0.0; en-US) AppleWebKit/534.8+ (KHTML, like Gecko) "
        "Version/0.0.1 Safari/534.8+"
    ),
    (
        "Mozilla/5.0 (hp-tablet; Linux; hpwOS/3.0.5; U; en-US) AppleWebKit/534.6 (KHTML, like Gecko) "
        "wOSBrowser/234.83 Safari/534.6 TouchPad/1.0"
    ),
    "NCSA_Mosaic/2.0 (Windows 3.1)",
    "Mozilla/3.0 (Planetweb/2.100 JS SSL US; Dreamcast US)",
    (
        "Vodafone/1.0/0Vodafone715/B116 Browser/Obigo-Browser/Q04A MMS/Obigo-MMS/Q04A SyncML/HW-SyncML/1.0 "
        "Java/QVM/4.1 Profile/MIDP-2.0 Configuration/CLDC-1.1"
    ),
    "HUAWEI-M750/001.00 ACS-NetFront/3.2",
    "PANTECH-EUROPA-U4000-orange/1.0 Obigo/Q04C MMS/1.2.0 profile/MIDP-2.0 configuration/CLDC-1.1",
    "OneBrowser/3.0 (SAMSUNG-GT-S5253/S5253DDKJ2)",
    (
        "Mozilla/5.0 (Web0S; Linux/SmartTV) AppleWebKit/537.41 (KHTML, like Gecko) Large Screen WebAppManager "
        "Safari/537.41"
    ),
)


@pytest.fixture(scope="module")
def read() -> Agents:
    return Agents()


@pytest.mark.parametrize("text", PEOPLE)
def test_people_are_no_bots(read: Agents, text: str) -> None:
    agent = read(text)
    assert agent.bot == ""
    assert not agents.is_impossible(agent, NOW)


def people() -> Iterator[str]:
    """User agent strings as browsers write them, over the versions of some years and the systems and devices that they
    run on: the desktop's, the phone's and the tablet's, and browsers inside of apps."""
    chromes = range(61, 151)
    desktops = (
        "Windows NT 10.0; Win64; x64",
        "Windows NT 10.0; WOW64",
        "Macintosh; Intel Mac OS X 10_15_7",
        "X11; Linux x86_64",
        "X11; CrOS x86_64 14541.0.0",
    )
    phones = PHONES.split(", ")
    for number, chrome in enumerate(chromes):
        full = f"{chrome}.0.{chrome * 47 % 7000}.{chrome % 200}" if chrome < 101 else f"{chrome}.0.0.0"
        for system in desktops:
            yield f"Mozilla/5.0 ({system}) {KHTML} Chrome/{full} Safari/537.36"
        system = desktops[number % 5]
        for brand in (
            f"Edg/{full}",
            f"OPR/{chrome - 14}.0.0.0",
            "Vivaldi/6.5.3206.63",
            f"YaBrowser/{chrome - 100}.1.0.1 Yowser/2.5",
        ):
            yield f"Mozilla/5.0 ({system}) {KHTML} Chrome/{full} Safari/537.36 {brand}"
        for step in range(4):
            phone = phones[(number * 4 + step) % len(phones)]
            android = 7 + (number + step) % 9
            mobile = f"Mozilla/5.0 (Linux; Android {android}; {phone}) {KHTML}"
            yield f"{mobile} Chrome/{full} Mobile Safari/537.36"
            yield f"{mobile} SamsungBrowser/{8 + number % 20}.0 Chrome/{full} Mobile Safari/537.36"
            view = f"Mozilla/5.0 (Linux; Android {android}; {phone} Build/{BUILDS[step]}; wv) {KHTML}"
            yield f"{view} Version/4.0 Chrome/{full} Mobile Safari/537.36"
            app = IN_APPS[step].format(phone=phone, android=android)
            yield f"{view} Version/4.0 Chrome/{full} Mobile Safari/537.36 {app}"
        yield f"Mozilla/5.0 (Linux; Android 10; K) {KHTML} Chrome/{full} Mobile Safari/537.36 EdgA/{full}"
        yield f"Mozilla/5.0 (Linux; Android 10; K) {KHTML} Chrome/{full} Mobile Safari/537.36 OPR/{chrome - 50}.0.0.0"
        yield f"Mozilla/5.0 (Linux; Android 10; K) {KHTML} Chrome/{full} Safari/537.36"
    for firefox in range(52, 151):
        gecko = 109 if 110 <= firefox <= 119 else firefox
        for system in (
            "Windows NT 10.0; Win64; x64",
            "Windows NT 6.1",
            "Macintosh; Intel Mac OS X 10.15",
            "X11; Linux x86_64",
        ):
            yield f"Mozilla/5.0 ({system}; rv:{gecko}.0) Gecko/20100101 Firefox/{firefox}.0"
        yield f"Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:{gecko}.0) Gecko/20100101 Firefox/{firefox}.0"
        yield f"Mozilla/5.0 (Android {7 + firefox % 9}; Mobile; rv:{gecko}.0) Gecko/{gecko}.0 Firefox/{firefox}.0"
        yield f"Mozilla/5.0 (Android 13; Tablet; rv:{gecko}.0) Gecko/{gecko}.0 Firefox/{firefox}.0"
    for version in (f"{major}.{minor}" for major in range(10, 19) for minor in range(6)):
        webkit, system = "AppleWebKit/605.1.15 (KHTML, like Gecko)", version.replace(".", "_")
        yield f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit} Version/{version} Safari/605.1.15"
        for device in (f"iPhone; CPU iPhone OS {system} like Mac OS X", f"iPad; CPU OS {system} like Mac OS X"):
            start = f"Mozilla/5.0 ({device}) {webkit}"
            yield f"{start} Version/{version} Mobile/15E148 Safari/604.1"
            for browser in (
                "CriOS/131.0.6778.73",
                "FxiOS/132.0",
                "EdgiOS/131.0.2903.48",
                "OPT/5.1.1",
                "GSA/340.3.695551749",
            ):
                yield f"{start} {browser} Mobile/15E148 Safari/604.1"
            yield f"{start} Mobile/15E148"
            yield f"{start} Mobile/15E148 {IN_APPS[0].format(phone='iPhone14,5', android=version)}"


PHONES = (
    "SM-G991B, SM-A525F, SM-S918B, SM-T510, Pixel 8 Pro, Pixel 6a, moto g(60), moto e5 plus, motorola edge 30, "
    "Redmi Note 12, Redmi 9A, M2101K6G, 2201117TY, POCO F3, Mi 9T Pro, CPH2219, CPH1923, RMX3085, V2027, vivo "
    "1904, LG-M700, LM-K500, Nokia G20, Nokia 7.2, HUAWEI P30, ELE-L29, VOG-L29, HRY-LX1, JSN-L21, ANE-LX1, "
    "ONEPLUS A6013, NE2213, LE2113, Infinix X657, TECNO KD7, itel L6005, CUBOT NOTE 20, CUBOT_X18_Plus, Wiko "
    "U5020, FP4, Lenovo TB-X606F, KFMAWI, XQ-BC72, Nothing A065, ASUS_I006D, ZTE Blade A7, BV9900, DOOGEE S96Pro, "
    "Armor 11 5G, SHARK KLE-A0, T-Mobile REVVL V+ 5G, A1_Smart"
)
BUILDS = ("TP1A.220624.014", "QKQ1.190910.002", "HUAWEIVOG-L29", "RP1A.200720.011")
IN_APPS = (
    "[FB_IAB/FB4A;FBAV/441.0.0.23.113;]",
    "Instagram 309.1.0.25.109 Android ({android}; 480dpi; 1080x2400; {phone}; en_GB; 541635890)",
    "GSA/14.48.32.29.arm64",
    "[Pinterest/Android]",
)


def test_no_more_than_two_of_a_thousand_people_are_taken_for_bots(read: Agents) -> None:
    texts = list(dict.fromkeys((*PEOPLE, *people())))
    taken = [text for text in texts if (agent := read(text)).bot or agents.is_impossible(agent, NOW)]
    assert len(texts) >= 2_000
    assert len(taken) <= len(texts) * 0.002, taken[:10]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)", "Googlebot"),
        ("Mozilla/5.0 (compatible; bingbot/2.0; +http://www.bing.com/bingbot.htm)", "bingbot"),
        ("Mozilla/5.0 (compatible; AhrefsBot/7.0; +http://ahrefs.com/robot/)", "AhrefsBot"),
        ("curl/8.5.0", "curl"),
        ("Wget/1.21.4", "Wget"),
        ("python-requests/2.31.0", "python-requests"),
        ("Go-http-client/2.0", "Go-http-client"),
        (f"{WINDOWS} HeadlessChrome/131.0.0.0 Safari/537.36", "HeadlessChrome"),
        (f"{WINDOWS[:-1]}; compatible; GPTBot/1.2; +https://openai.com/gptbot)", "GPTBot"),
        ("Mozilla/5.0 (compatible; NobodyKnowsMe/1.0)", "NobodyKnowsMe"),
        ("NobodyKnowsMe/1.0 (+https://example.com/about)", "NobodyKnowsMe"),
        ("AcmeLinkChecker/3.1", "AcmeLinkChecker"),
        ("acme crawler (crawler@example.com)", "acme"),
        ("Acme", "Acme"),
        ("", "(no agent)"),
        ("-", "(no agent)"),
    ],
)
def test_bots_get_a_name_without_version(read: Agents, text: str, name: str) -> None:
    assert read(text).bot == name


def test_an_agent_that_was_not_recorded_is_no_bot(read: Agents) -> None:
    assert read(agents.UNRECORDED).bot == ""


def in_first_half(pattern: str) -> bool:
    return hashlib.sha256(pattern.encode()).digest()[0] % 2 == 0


def share_of_bots(read: Agents, entries: list[dict[str, Any]]) -> float:
    texts = [text for entry in entries for text in entry["instances"]]
    found = [text for text in texts if (agent := read(text)).bot or agents.is_impossible(agent, NOW)]
    return len(found) / len(texts)


def test_crawlers_that_no_rule_was_taken_from_are_found() -> None:
    """One half of crawler-user-agents gives the rules; the strings of the other half are looked at."""
    read = Agents([pattern for pattern in crawler_patterns() if in_first_half(pattern)])
    unseen = [entry for entry in CRAWLER_USER_AGENTS_DATA if not in_first_half(entry["pattern"])]
    assert sum(len(entry["instances"]) for entry in unseen) > 900
    assert share_of_bots(read, unseen) >= 0.95


def test_known_crawlers_are_found(read: Agents) -> None:
    assert share_of_bots(read, CRAWLER_USER_AGENTS_DATA) >= 0.99


def test_what_is_left_out_of_the_known_crawlers_is_still_there() -> None:
    assert {entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA} >= MISTAKEN
    assert set(crawler_patterns()).isdisjoint(MISTAKEN)


def test_the_native_engine_reads_the_patterns_as_python_does(read: Agents) -> None:
    patterns = re.compile("|".join(f"(?:{pattern})" for pattern in crawler_patterns()))
    for entry in CRAWLER_USER_AGENTS_DATA[::10]:
        for text in entry["instances"]:
            if patterns.search(text):
                assert read(text).bot, text
    assert not any(patterns.search(text) for text in PEOPLE)


@pytest.mark.parametrize(
    ("text", "browser", "system", "device"),
    [
        (CHROME, "Chrome 131", "Windows 10", "desktop"),
        (f"{CHROME} Edg/131.0.0.0", "Edge 131", "Windows 10", "desktop"),
        (
            f"Mozilla/5.0 (Linux; Android 10; K) {KHTML} Chrome/131.0.0.0 Mobile Safari/537.36",
            "Chrome 131",
            "Android 10",
            "mobile",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13; SM-X700) {KHTML} Chrome/131.0.0.0 Safari/537.36",
            "Chrome 131",
            "Android 13",
            "tablet",
        ),
        (
            f"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) {KHTML} Version/18.1 Mobile/15E148 Safari/604.1",
            "Safari 18",
            "iOS 18",
            "mobile",
        ),
        (
            "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 "
            "Safari/605.1.15",
            "Safari 17",
            "macOS",
            "desktop",
        ),
        ("Mozilla/5.0 (X11; Ubuntu; Linux; rv:99.0) Gecko/20100101 Firefox/99.0", "Firefox 99", "Ubuntu", "desktop"),
        ("Mozilla/5.0 (Windows NT 6.3; Trident/7.0; rv:11.0) like Gecko", "IE 11", "Windows 8.1", "desktop"),
        (
            f"Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) {KHTML} 76.0.3809.146/6.0 TV Safari/537.36",
            "Safari",
            "Tizen 6",
            "tv",
        ),
        (
            "Mozilla/5.0 (PlayStation; PlayStation 5/2.26) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/13.0 "
            "Safari/605.1.15",
            "Safari 13",
            "(unknown)",
            "console",
        ),
        ("something else", "(unknown)", "(unknown)", "(unknown)"),
    ],
)  # fmt: skip
def test_browser_system_and_device(read: Agents, text: str, browser: str, system: str, device: str) -> None:
    agent = read(text)
    assert agents.versioned(agent.browser, agent.browser_version) == browser
    assert agents.versioned(agent.os, agent.os_version) == system
    assert agent.device == device


@pytest.mark.parametrize(
    ("value", "above"),
    [
        ("Chrome 131", ("Chrome",)),
        ("Chrome", ()),
        ("Windows 10", ("Windows",)),
        ("Windows 8.1", ("Windows",)),
        ("Windows Vista", ("Windows",)),
        ("Windows", ()),
        ("Samsung Internet 25", ("Samsung Internet",)),
        ("(unknown)", ()),
        ("Foo 12345", ()),
    ],
)
def test_versions_lie_below_their_names(value: str, above: tuple[str, ...]) -> None:
    assert agents.unversioned(value) == above


@pytest.mark.parametrize(
    ("text", "impossible"),
    [
        (CHROME, False),
        (f"{WINDOWS} Chrome/154.0.0.0 Safari/537.36", False),
        (f"{WINDOWS} Chrome/400.0.0.0 Safari/537.36", True),
        (f"{WINDOWS} Chrome/99999999999999999999.0 Safari/537.36", True),
        (CHROME.replace("NT 10.0", "NT 11.0"), True),
        ("Mozilla/5.0 (Windows NT 10.0; rv:132.0) Gecko/20100101 Firefox/132.0", False),
        ("Mozilla/5.0 (Windows NT 10.0; rv:109.0) Gecko/20100101 Firefox/118.0", False),
        ("Mozilla/5.0 (Windows NT 10.0; rv:109.0) Gecko/20100101 Firefox/121.0", True),
        ("Mozilla/5.0 (Windows NT 6.1; rv:40.0) Gecko/20100101 Firefox/39.0", True),
        ("Mozilla/5.0 (X11; U; Linux x86_64; en-US; rv:1.9.2.12) Gecko/20101027 Firefox/3.6.12", False),
        ("Mozilla/4.0 (compatible; MSIE 17.0; Windows NT 5.1)", True),
        ("Mozilla/5.0 (Linux; Android 999; K) AppleWebKit/537.36 Chrome/131.0.0.0 Mobile Safari/537.36", True),
    ],
)
def test_versions_that_cannot_be(read: Agents, text: str, impossible: bool) -> None:
    assert agents.is_impossible(read(text), NOW) is impossible


HONEST = {
    "agent": CHROME,
    "chromium": 131,
    "accept": "text/html,application/xhtml+xml,*/*;q=0.8",
    "dest": "document",
    "mode": "navigate",
    "site": "none",
    "user": "?1",
    "brands": '"Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24"',
    "platform": '"Windows"',
}


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, ""),
        # what is missing is no evidence
        ({"dest": "", "mode": "", "site": "", "user": "", "brands": "", "platform": ""}, ""),
        ({"accept": ""}, ""),
        ({"mode": "", "user": ""}, ""),
        ({"accept": "*/*"}, ""),
        # what contradicts is
        ({"mode": "cors"}, "fetch metadata"),
        ({"dest": "page"}, "fetch metadata"),
        ({"site": "nowhere"}, "fetch metadata"),
        ({"user": "?0"}, "fetch metadata"),
        ({"accept": "application/json"}, "accept"),
        ({"brands": '"Chromium";v="120"'}, "client hints"),
        ({"brands": '"HeadlessChrome";v="131"'}, "headless"),
        ({"agent": "Mozilla/5.0 (X11; rv:131.0) Gecko/20100101 Firefox/131.0", "chromium": 0}, "client hints"),
        ({"platform": '"Linux"'}, "client hints"),
    ],
)
def test_headers_that_contradict_each_other(changed: dict[str, Any], found: str) -> None:
    assert agents.contradicts(**{**HONEST, **changed}) == found


@given(st.text(max_size=600))
def test_any_string_can_be_read(text: str) -> None:
    agent = READ(text)
    assert len(agent.bot) <= 40
    assert agent.device in {"desktop", "mobile", "tablet", "tv", "console", "watch", agents.UNKNOWN}
    assert agent.bot.isprintable() or not text.isprintable()


READ = Agents()


def test_answers_are_remembered_in_bounds() -> None:
    tables = Tables()
    first = tables.agent(CHROME)
    assert tables.agent(CHROME) is first
    assert isinstance(first, Agent)
    assert tables.country("192.0.2.0") == ""
    tables.close()


def test_countries_of_the_shipped_database() -> None:
    catalogue = pytest.importorskip("vestibule.catalogue")
    path = catalogue.country_database()
    if path is None:
        pytest.skip("no country database is shipped")
    countries = Countries(path)
    assert countries("8.8.8.0") == "US"
    assert countries("2001:4860:4860::") == "US"
    assert countries("127.0.0.0") == ""
    assert countries("nonsense") == ""
    countries.close()
