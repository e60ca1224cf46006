#!/usr/bin/env python3
"""Makes the documents of this folder: the same facts in every format, as small as the format allows.

    tests/documents/make.py [FOLDER]

Nothing but Python's standard library. Each has headings, umlauts, a list, a table, a footnote, and something to be left out.
SPDX-License-Identifier: Apache-2.0"""
import os
import sys
import zipfile

OUT = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
TITLE, AUTHOR = "Die Grünwald-Werke", "Änne Köhler"
FACT = "Die Grünwald-Werke wurden 1962 von Marta Engelund in Öhringen gegründet."
MORE = "Sie beschäftigen heute 1840 Menschen & bauen Straßenleuchten."
NOTE = "Der Gründungstag war der 5. Mai 1962."
ITEMS = ["Öhringen: Verwaltung", "Künzelsau: Fertigung"]
TABLE = [["Standort", "Fläche", "Eröffnet"], ["Öhringen", "4200 m²", "1962"], ["Künzelsau", "9100 m²", "1974"]]


def esc(s):
    return s.replace("&", "&amp;").replace("<", "&lt;")


def write(name, data):
    with open(os.path.join(OUT, name), "wb") as f:
        f.write(data if isinstance(data, bytes) else data.encode())


def archive(name, parts, first=None):
    with zipfile.ZipFile(os.path.join(OUT, name), "w", zipfile.ZIP_DEFLATED) as z:
        for path, text in ([first] if first else []) + parts:
            info = zipfile.ZipInfo(path, (2024, 1, 1, 0, 0, 0))
            info.compress_type = zipfile.ZIP_STORED if first and path == first[0] else zipfile.ZIP_DEFLATED
            z.writestr(info, text.encode())


def markdown():
    rows = ["| " + " | ".join(r) + " |" for r in TABLE]
    write("facts.md", f"""---
title: {TITLE}
---

# Geschichte

{FACT.replace("Öhringen", "&Ouml;hringen")}[^1] {MORE}

[^1]: {NOTE}

## Standorte

- {ITEMS[0]}
- **{ITEMS[1]}**

{rows[0]}
|---|---:|---|
{rows[1]}
{rows[2]}

![Werk](werk.png) <!-- weg -->
""")


def text():
    write("facts.txt", f"Geschichte\n==========\n\n{FACT}\n{MORE}\n\nStandorte\n---------\n\n- {ITEMS[0]}\n- {ITEMS[1]}\n\nStandort: Öhringen; Fläche: 4200 m²; Eröffnet: 1962\n\n{NOTE}\n")


def html_body(ns=""):
    noteref = ' epub:type="noteref"' if ns else ' role="doc-noteref"'
    kind = ' epub:type="footnote"' if ns else ' role="doc-footnote"'
    rows = "".join("<tr>" + "".join(f"<td>{c}</td>" for c in r) + "</tr>" for r in TABLE[1:])
    head = "".join(f"<th>{c}</th>" for c in TABLE[0])
    return f"""<h1>Geschichte</h1>
<p>{esc(FACT).replace("ü", "&uuml;" if not ns else "ü")}<a{noteref} href="#n1">1</a> {esc(MORE).replace("Straßen", "Stra&#xDF;en&#xAD;")}</p>
<h2>Standorte</h2>
<ul><li>{ITEMS[0]}</li><li><p>{ITEMS[1]}</p></li></ul>
<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>
<p style="display: none">unsichtbar</p><img src="werk.png" alt=""/>
<aside{kind} id="n1"><p><a href="#r1">1</a> {NOTE}</p></aside>"""


def html():
    write("facts.html", f'<!DOCTYPE html><html lang="de"><head><meta charset="utf-8"><title>{TITLE}</title><meta name="author" content="{AUTHOR}">'
          f'<style>p {{ color: red }}</style></head><body><nav>Start | Suche</nav><script>var geheim = "unsichtbar";</script>\n{html_body()}\n</body></html>\n')


def docx():
    w = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
    p = lambda t, style="", extra="": f'<w:p><w:pPr>{f"""<w:pStyle w:val="{style}"/>""" if style else ""}{extra}</w:pPr><w:r><w:t xml:space="preserve">{esc(t)}</w:t></w:r></w:p>'
    item = '<w:numPr><w:ilvl w:val="0"/><w:numId w:val="1"/></w:numPr>'
    table = "<w:tbl>" + "".join("<w:tr>" + "".join(f"<w:tc>{p(c)}</w:tc>" for c in r) + "</w:tr>" for r in TABLE) + "</w:tbl>"
    body = (p("Geschichte", "berschrift1") + f'<w:p><w:r><w:t>Die Grün</w:t></w:r><w:r><w:t>{esc(FACT[8:])}</w:t></w:r><w:r><w:footnoteReference w:id="2"/></w:r>'
            f'<w:r><w:t xml:space="preserve"> {esc(MORE)}</w:t></w:r><w:del><w:r><w:delText>gelöscht</w:delText></w:r></w:del>'
            '<w:r><w:rPr><w:vanish/></w:rPr><w:t>unsichtbar</w:t></w:r></w:p>'
            + p("Standorte", "berschrift2") + p(ITEMS[0], "", item) + p(ITEMS[1], "", item) + table)
    styles = (f'<w:styles {w}><w:style w:styleId="berschrift1"><w:name w:val="heading 1"/><w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style>'
              '<w:style w:styleId="berschrift2"><w:name w:val="heading 2"/><w:basedOn w:val="berschrift1"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr></w:style></w:styles>')
    notes = f'<w:footnotes {w}><w:footnote w:type="separator" w:id="0"><w:p/></w:footnote><w:footnote w:id="2">{p(NOTE)}</w:footnote></w:footnotes>'
    core = ('<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/">'
            f'<dc:title>{TITLE}</dc:title><dc:creator>{AUTHOR}</dc:creator></cp:coreProperties>')
    archive("facts.docx", [("word/document.xml", f"<w:document {w}><w:body>{body}</w:body></w:document>"), ("word/styles.xml", styles),
                           ("word/footnotes.xml", notes), ("word/header1.xml", f"<w:hdr {w}/>"), ("docProps/core.xml", core)])


def odt():
    ns = " ".join(f'xmlns:{k}="urn:oasis:names:tc:opendocument:xmlns:{v}:1.0"' for k, v in
                  [("office", "office"), ("text", "text"), ("table", "table"), ("draw", "drawing"), ("style", "style"), ("meta", "meta")])
    p = lambda t: f"<text:p>{esc(t)}</text:p>"
    row = lambda r: "<table:table-row>" + "".join(f"<table:table-cell>{p(c)}</table:table-cell>" for c in r) + "</table:table-row>"
    note = f"<text:note><text:note-citation>1</text:note-citation><text:note-body>{p(NOTE)}</text:note-body></text:note>"
    body = (f'<text:h text:outline-level="1">Geschichte</text:h><text:p>{esc(FACT)}{note}<text:s/>{esc(MORE)}<draw:frame><draw:image/></draw:frame></text:p>'
            f'<text:h text:outline-level="2">Standorte</text:h><text:list>' + "".join(f"<text:list-item>{p(i)}</text:list-item>" for i in ITEMS) + "</text:list>"
            f"<table:table><table:table-header-rows>{row(TABLE[0])}</table:table-header-rows>{row(TABLE[1])}{row(TABLE[2])}</table:table>"
            '<text:p text:style-name="H">unsichtbar</text:p>')
    content = (f'<office:document-content {ns}><office:automatic-styles><style:style style:name="H"><style:text-properties text:display="none"/></style:style>'
               f"</office:automatic-styles><office:body><office:text>{body}</office:text></office:body></office:document-content>")
    meta = f'<office:document-meta {ns} xmlns:dc="http://purl.org/dc/elements/1.1/"><office:meta><dc:title>{TITLE}</dc:title><meta:initial-creator>{AUTHOR}</meta:initial-creator></office:meta></office:document-meta>'
    archive("facts.odt", [("content.xml", content), ("meta.xml", meta)], ("mimetype", "application/vnd.oasis.opendocument.text"))


def epub():
    chapter = ('<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops"><head><title/>'
               f'<script src="x.js"/></head><body>{html_body("epub")}</body></html>')
    opf = ('<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
           f'<dc:title>{TITLE}</dc:title><dc:creator>{AUTHOR}</dc:creator></metadata><manifest><item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>'
           '<item id="c" href="text/kapitel%201.xhtml" media-type="application/xhtml+xml"/></manifest><spine><itemref idref="n"/><itemref idref="c"/></spine></package>')
    container = '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
    archive("facts.epub", [("META-INF/container.xml", container), ("OEBPS/book.opf", opf), ("OEBPS/nav.xhtml", "<html/>"), ("OEBPS/text/kapitel 1.xhtml", chapter)],
            ("mimetype", "application/epub+zip"))


def pdf_file(pages, extra="", image=False):
    """pages: lists of (x, y, size, text); y from below. WinAnsi text in Helvetica."""
    objects = [f"<< /Type /Catalog /Pages 2 0 R >>", None, "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>",
               b"<< /Title (" + "\ufeff".encode("utf-16-be") + TITLE.encode("utf-16-be") + b") /Author (" + "\ufeff".encode("utf-16-be") + AUTHOR.encode("utf-16-be") + b") >>"]
    kids = []
    for page in pages:
        stream = b"".join(b"BT /F1 %d Tf %d %d Td (%s) Tj ET\n" % (size, x, y, t.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)"))
                          for x, y, size, t in page)
        objects.append(b"<< /Length %d >>\nstream\n" % len(stream) + stream + b"endstream")
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents {len(objects)} 0 R >>")
        kids.append(f"{len(objects)} 0 R")
    if image:
        objects.append(b"<< /Type /XObject /Subtype /Image /Width 1 /Height 1 /ColorSpace /DeviceGray /BitsPerComponent 8 /Length 1 >>\nstream\n\0\nendstream")
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(kids)}] >>"
    out, at = b"%PDF-1.4\n", []
    for i, o in enumerate(objects):
        at.append(len(out))
        out += b"%d 0 obj\n" % (i + 1) + (o if isinstance(o, bytes) else o.encode()) + b"\nendobj\n"
    start = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(at) + 1) + b"".join(b"%010d 00000 n \n" % a for a in at)
    return out + f"trailer\n<< /Size {len(at) + 1} /Root 1 0 R /Info 4 0 R {extra}>>\nstartxref\n{start}\n%%EOF\n".encode()


def pdf():
    first = [(60, 800, 9, "Chronik der Grünwald-Werke"), (290, 40, 9, "1"), (60, 750, 20, "Geschichte"), (60, 720, 11, "Die Grünwald-Werke wurden 1962 von Marta Enge-"),
             (60, 706, 11, "lund in Öhringen gegründet."), (202, 711, 6, "1"), (210, 706, 11, "Sie beschäftigen heute 1840 Menschen"), (60, 692, 11, "& bauen Straßenleuchten."),
             (60, 655, 15, "Standorte"), (70, 630, 11, "\u2022"), (85, 630, 11, ITEMS[0]), (70, 616, 11, "\u2022"), (85, 616, 11, ITEMS[1])]
    for i, row in enumerate(TABLE):
        first += [(x, 580 - 16 * i, 11, cell) for x, cell in zip((60, 200, 340), row)]
    first += [(60, 90, 8, "1"), (68, 90, 8, NOTE)]
    second = [(60, 800, 9, "Chronik der Grünwald-Werke"), (290, 40, 9, "2"), (60, 750, 20, "Ausblick")]
    second += [(60, 720 - 14 * i, 11, f"Der linke Satz Nummer {i + 1} steht in") for i in range(6)]
    second += [(320, 720 - 14 * i, 11, f"Die rechte Zeile Nummer {i + 1} folgt") for i in range(6)]
    write("facts.pdf", pdf_file([first, second], image=True))
    write("scanned.pdf", pdf_file([[], []]))
    write("encrypted.pdf", pdf_file([first], "/Encrypt << /Filter /Standard /V 1 /R 2 /P -4 /O (" + "o" * 32 + ") /U (" + "u" * 32 + ") >> /ID [(0123456789abcdef) (0123456789abcdef)] "))


def bad():
    with zipfile.ZipFile(os.path.join(OUT, "bomb.docx"), "w", zipfile.ZIP_DEFLATED, compresslevel=9) as z:
        info = zipfile.ZipInfo("word/document.xml", (2024, 1, 1, 0, 0, 0))
        info.compress_type = zipfile.ZIP_DEFLATED
        z.writestr(info, b" " * (8 << 20))


if __name__ == "__main__":
    for make in (bad, markdown, text, html, docx, odt, epub, pdf):
        make()
