using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Language;

/// <summary>What a piece of a template is.</summary>
internal enum PieceKind
{
    /// <summary>Goes out as it is.</summary>
    Text,

    /// <summary>The expression of <c>{{ }}</c>.</summary>
    Output,

    /// <summary>The statement of <c>{% %}</c>.</summary>
    Statement,
}

/// <summary>A piece of a template.</summary>
internal readonly record struct TemplatePiece(PieceKind Kind, IReadOnlyList<Token> Tokens, string Text)
{
    /// <summary>Its text on one line, cut where it is long, for messages.</summary>
    public string Shown => ChatTemplateException.Show(Text);
}

/// <summary>Cuts a template into text and tags, white space around tags as Transformers has it, and tags into tokens.</summary>
internal static class TemplateLexer
{
    public static List<TemplatePiece> Split(string source)
    {
        source = source.Replace("\r\n", "\n", StringComparison.Ordinal).Replace('\r', '\n');
        if (source.EndsWith('\n')) source = source[..^1];
        var pieces = new List<TemplatePiece>();
        int at = 0;
        bool stripNext = false, dropNewline = false;
        while (true)
        {
            int open = NextTag(source, at);
            string text = source[at..(open < 0 ? source.Length : open)];
            if (stripNext) text = TemplateLetters.Strip(text, null, start: true, end: false);
            else if (dropNewline && text.StartsWith('\n')) text = text[1..];
            if (open < 0)
            {
                AddText(text);
                return pieces;
            }
            char kind = source[open + 1], mark = open + 2 < source.Length ? source[open + 2] : ' ';
            if (mark == '-') text = TemplateLetters.Strip(text, null, start: false, end: true);
            else if (kind != '{' && mark != '+') text = StripLine(text, open, source);
            AddText(text);
            int start = open + (mark is '-' or '+' ? 3 : 2), end = TagEnd(source, start, kind);
            stripNext = source[end - 1] == '-' && end - 1 >= start;
            bool keep = source[end - 1] == '+' && end - 1 >= start;
            dropNewline = kind != '{' && !keep;
            string content = source[start..(stripNext || keep ? end - 1 : end)];
            if (kind == '%' && content.Trim() == "raw" && !keep)
            {
                at = Raw(end + 2, stripNext);
                continue;
            }
            if (kind != '#') pieces.Add(new TemplatePiece(kind == '{' ? PieceKind.Output : PieceKind.Statement, TemplateTokens.Of(content), content));
            at = end + 2;
        }

        // Goes out as it is, tags and all; a new line behind the beginning stays.
        int Raw(int from, bool strip)
        {
            for (int tag = source.IndexOf("{%", from, StringComparison.Ordinal); tag >= 0; tag = source.IndexOf("{%", tag + 2, StringComparison.Ordinal))
            {
                char mark = tag + 2 < source.Length ? source[tag + 2] : ' ';
                int start = tag + (mark is '-' or '+' ? 3 : 2), end = source.IndexOf("%}", start, StringComparison.Ordinal);
                if (end < 0) break;
                char last = source[end - 1];
                string content = source[start..(last is '-' or '+' && end > start ? end - 1 : end)].Trim();
                if (content != "endraw") continue;
                string text = source[from..tag];
                if (strip) text = TemplateLetters.Strip(text, null, start: true, end: false);
                AddText(mark == '-' ? TemplateLetters.Strip(text, null, start: false, end: true) : mark == '+' ? text : StripLine(text, tag, source));
                stripNext = last == '-';
                dropNewline = last != '+';
                return end + 2;
            }
            throw new ChatTemplateException("The chat template: a 'raw' is not closed.");
        }

        void AddText(string text)
        {
            if (text.Length > 0) pieces.Add(new TemplatePiece(PieceKind.Text, [], text));
        }
    }

    private static int NextTag(string source, int from)
    {
        for (int i = from; i < source.Length - 1; i++)
        {
            if (source[i] == '{' && source[i + 1] is '{' or '%' or '#') return i;
        }
        return -1;
    }

    /// <summary>White space between the start of the line and a statement goes.</summary>
    private static string StripLine(string text, int open, string source)
    {
        int end = text.Length;
        while (end > 0 && text[end - 1] != '\n' && TemplateLetters.IsSpace(text[end - 1])) end--;
        string stripped = text[..end];
        return stripped.EndsWith('\n') || (stripped.Length == 0 && (open - text.Length == 0 || source[open - text.Length - 1] == '\n')) ? stripped : text;
    }

    private static int TagEnd(string source, int start, char kind)
    {
        string end = kind switch { '{' => "}}", '%' => "%}", _ => "#}" };
        char quote = '\0';
        int depth = 0;
        for (int i = start; i < source.Length - 1; i++)
        {
            char c = source[i];
            if (quote != '\0')
            {
                if (c == '\\') i++;
                else if (c == quote) quote = '\0';
                continue;
            }
            if (depth == 0 && c == end[0] && source[i + 1] == end[1]) return i;
            if (kind == '#') continue;
            if (c is '\'' or '"') quote = c;
            else if (c == '{') depth++;
            else if (c == '}') depth--;
        }
        throw new ChatTemplateException($"The chat template: a tag is not closed by {end}.");
    }
}
