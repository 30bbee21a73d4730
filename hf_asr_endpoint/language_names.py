"""Codes and names of languages, as data: those that Whisper was trained on, and others, to refuse them by name.

Sources: openai/whisper, `whisper/tokenizer.py` (codes, English names, and their order, which is that of the
tokens); ISO 639-1, 639-2/B, 639-2/T and 639-3; the IANA registry of language subtags (RFC 5646), for withdrawn
codes and for languages within a macrolanguage.
"""

from __future__ import annotations

WHISPER_ROWS = """
en: english: eng: american english, british english
zh: chinese: zho chi cmn cn: mandarin, mandarin chinese, chinese mandarin, simplified chinese, traditional chinese, 中文, 汉语, 漢語, 普通话, 普通話, 国语, 國語, 简体中文, 繁體中文
de: german: deu ger: deutsch
es: spanish: spa: castilian, español, castellano
ru: russian: rus: русский
ko: korean: kor: 한국어
fr: french: fra fre: français
ja: japanese: jpn jp: 日本語
pt: portuguese: por: brazilian portuguese, european portuguese, português
tr: turkish: tur: türkçe
pl: polish: pol: polski
ca: catalan: cat: valencian, català
nl: dutch: nld dut: flemish, nederlands
ar: arabic: ara arb arz ary apc ars acm aeb afb apd arq: العربية
sv: swedish: swe: svenska
it: italian: ita: italiano
id: indonesian: ind in: bahasa indonesia
hi: hindi: hin: हिन्दी
fi: finnish: fin: suomi
vi: vietnamese: vie vn: tiếng việt
he: hebrew: heb iw: עברית
uk: ukrainian: ukr ua: українська
el: greek: ell gre gr: modern greek, greek modern, ελληνικά
ms: malay: msa may zsm zlm: bahasa melayu
cs: czech: ces cze cz: čeština
ro: romanian: ron rum mo mol: moldavian, moldovan, română
da: danish: dan dk: dansk
hu: hungarian: hun: magyar
ta: tamil: tam: தமிழ்
no: norwegian: nor nob nb: bokmål, norwegian bokmål, norsk, norsk bokmål
th: thai: tha: ไทย, ภาษาไทย
ur: urdu: urd: اردو
hr: croatian: hrv scr: hrvatski
bg: bulgarian: bul: български
lt: lithuanian: lit: lietuvių
la: latin: lat: latina
mi: maori: mri mao: te reo māori
ml: malayalam: mal: മലയാളം
cy: welsh: cym wel: cymraeg
sk: slovak: slk slo: slovenčina
te: telugu: tel: తెలుగు
fa: persian: fas per pes prs: farsi, dari, persian farsi, فارسی
lv: latvian: lav lvs: latviešu
bn: bengali: ben: bangla, বাংলা
sr: serbian: srp scc sh hbs: српски, srpski
az: azerbaijani: aze azj: azeri, azərbaycan, azərbaycanca
sl: slovenian: slv: slovene, slovenščina
kn: kannada: kan: ಕನ್ನಡ
et: estonian: est ekk: eesti
mk: macedonian: mkd mac: македонски
br: breton: bre: brezhoneg
eu: basque: eus baq: euskara
is: icelandic: isl ice: íslenska
hy: armenian: hye arm: հայերեն
ne: nepali: nep npi: नेपाली
mn: mongolian: mon khk: монгол
bs: bosnian: bos: bosanski
kk: kazakh: kaz: қазақша, қазақ тілі
sq: albanian: sqi alb als: shqip
sw: swahili: swa swh swc: kiswahili
gl: galician: glg: galego
mr: marathi: mar: मराठी
pa: punjabi: pan: panjabi, ਪੰਜਾਬੀ
si: sinhala: sin: sinhalese, සිංහල
km: khmer: khm: cambodian, ខ្មែរ
sn: shona: sna: chishona
yo: yoruba: yor: yorùbá
so: somali: som: soomaali
af: afrikaans: afr:
oc: occitan: oci:
ka: georgian: kat geo: ქართული
be: belarusian: bel: belarussian, беларуская
tg: tajik: tgk: тоҷикӣ
sd: sindhi: snd: سنڌي
gu: gujarati: guj: ગુજરાતી
am: amharic: amh: አማርኛ
yi: yiddish: yid ydd ji: ייִדיש
lo: lao: lao: ລາວ
uz: uzbek: uzb uzn: oʻzbek, o'zbekcha
fo: faroese: fao: føroyskt
ht: haitian creole: hat: haitian, kreyòl ayisyen
ps: pashto: pus pbu pbt: pushto, پښتو
tk: turkmen: tuk: türkmençe
nn: nynorsk: nno: norwegian nynorsk, norsk nynorsk
mt: maltese: mlt: malti
sa: sanskrit: san: संस्कृतम्
lb: luxembourgish: ltz: letzeburgesch, lëtzebuergesch
my: myanmar: mya bur: burmese, myanmar burmese, မြန်မာ
bo: tibetan: bod tib: བོད་སྐད་
tl: tagalog: tgl fil: filipino, pilipino
mg: malagasy: mlg plt:
as: assamese: asm: অসমীয়া
tt: tatar: tat: татар, татарча
haw: hawaiian: haw: ʻōlelo hawaiʻi
ln: lingala: lin: lingála
ha: hausa: hau:
ba: bashkir: bak: башҡорт, башҡортса
jw: javanese: jav jv: basa jawa
su: sundanese: sun: basa sunda
yue: cantonese: yue: cantonese chinese, chinese cantonese, yue chinese, 粵語, 粤语, 廣東話, 广东话
"""  # noqa: E501 # A row for each language.
"""Whisper's code: its English name: other codes: other names. Whisper's Norwegian is Bokmål."""

OTHER_ROWS = """
aa aar afar; ab abk abkhazian; ak aka akan; an arg aragonese; av ava avaric; ae ave avestan; ay aym aymara;
bm bam bambara; bi bis bislama; ch cha chamorro; ce che chechen; cu chu church slavic; cv chv chuvash;
kw cor cornish; co cos corsican; cr cre cree; dv div divehi; dz dzo dzongkha; eo epo esperanto; ee ewe ewe;
fj fij fijian; fy fry western frisian; ff ful fulah; gd gla scottish gaelic; ga gle irish; gv glv manx;
gn grn guarani; hz her herero; ho hmo hiri motu; ig ibo igbo; io ido ido; ii iii sichuan yi; iu iku inuktitut;
ie ile interlingue; ia ina interlingua; ik ipk inupiaq; kl kal kalaallisut; ks kas kashmiri; kr kau kanuri;
ki kik kikuyu; rw kin kinyarwanda; ky kir kyrgyz; kv kom komi; kg kon kongo; kj kua kuanyama; ku kur kurdish;
li lim limburgish; lu lub luba-katanga; lg lug ganda; mh mah marshallese; na nau nauru; nv nav navajo;
nr nbl south ndebele; nd nde north ndebele; ng ndo ndonga; ny nya chichewa; oj oji ojibwa; or ori odia;
om orm oromo; os oss ossetian; pi pli pali; qu que quechua; rm roh romansh; rn run rundi; sg sag sango;
se sme northern sami; sm smo samoan; st sot southern sotho; sc srd sardinian; ss ssw swati; ty tah tahitian;
ti tir tigrinya; to ton tongan; tn tsn tswana; ts tso tsonga; tw twi twi; ug uig uyghur; ve ven venda;
vo vol volapük; wa wln walloon; wo wol wolof; xh xho xhosa; za zha zhuang; zu zul zulu;
ast asturian; bar bavarian; bho bhojpuri; ceb cebuano; chr cherokee; ckb central kurdish; fur friulian;
gan gan chinese; gsw swiss german; hak hakka chinese; hil hiligaynon; hmn hmong; hsb upper sorbian;
hsn xiang chinese; ilo ilocano; jam jamaican creole; kab kabyle; kea kabuverdianu; kmr northern kurdish;
kok konkani; lmo lombard; luo luo; lus mizo; lzh literary chinese; mai maithili; mni manipuri;
nan min nan chinese; nap neapolitan; nds low german; nso northern sotho; pap papiamento; pms piedmontese;
quc kʼicheʼ; rom romany; sah yakut; sat santali; scn sicilian; sco scots; tpi tok pisin; vec venetian;
war waray; wuu wu chinese; ory odia
"""
"""Codes, then the English name, of languages that no Whisper model has."""
