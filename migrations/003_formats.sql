-- The formats that can be read now: their rows were seeded as switched off, and are switched on.
--
-- Only rows that nobody has touched: as the seed wrote them, and never changed since, which `updated_at` shows. Whoever
-- switched a type off, or changed its limits, keeps what they chose. Types that came later are added by the seed.

set client_min_messages = warning;

update public.file_type_configs c
set enabled = true
from (values
    ('application/vnd.openxmlformats-officedocument.presentationml.presentation', 'PowerPoint presentation', 104857600, 'pptx', 'markdown'),
    ('application/vnd.openxmlformats-officedocument.spreadsheetml.sheet', 'Excel workbook', 52428800, 'xlsx', 'table'),
    ('application/vnd.ms-excel', 'Excel workbook (97-2003)', 52428800, 'xls', 'table'),
    ('application/vnd.oasis.opendocument.text', 'OpenDocument text', 52428800, 'odt', 'markdown'),
    ('application/vnd.oasis.opendocument.spreadsheet', 'OpenDocument spreadsheet', 52428800, 'ods', 'table'),
    ('application/vnd.oasis.opendocument.presentation', 'OpenDocument presentation', 104857600, 'odp', 'markdown'),
    ('application/rtf', 'Rich text', 52428800, 'rtf', 'prose'),
    ('application/epub+zip', 'Electronic book', 104857600, 'epub', 'markdown'),
    ('message/rfc822', 'E-mail', 52428800, 'eml', 'prose'),
    ('application/x-ipynb+json', 'Jupyter notebook', 20971520, 'ipynb', 'markdown')
) as seeded (mime_type, display_name, max_file_size, extractor, splitter)
where not c.enabled
  and c.updated_at = c.created_at
  and (c.mime_type, c.display_name, c.max_file_size, c.extractor, c.splitter)
      = (seeded.mime_type, seeded.display_name, seeded.max_file_size, seeded.extractor, seeded.splitter);

comment on column public.file_type_configs.extractor is
    'What reads it: pdf, docx, pptx, xlsx, xls, odt, ods, odp, rtf, epub, eml, ipynb, markdown, text, html, csv, json, code.';
