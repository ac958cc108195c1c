using System.Text;

namespace LowRankQuant.Models.ChatTemplates;

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
    private const int LongestShown = 80;

    /// <summary>Its text on one line, cut where it is long, for messages.</summary>
    public string Shown => Show(Text);

    /// <summary>A text on one line, cut where it is long.</summary>
    public static string Show(string text)
    {
        string line = string.Join(' ', text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries));
        return line.Length <= LongestShown ? line : line[..LongestShown] + "...";
    }
}

/// <summary>What a token within a tag is.</summary>
internal enum TokenKind
{
    Name,
    Text,
    Number,
    Sign,
}

/// <summary>A token within a tag.</summary>
internal readonly record struct Token(TokenKind Kind, string Text);

/// <summary>Cuts a template into text and tags, white space around tags as Transformers has it, and tags into tokens.</summary>
internal static class TemplateLexer
{
    private static readonly string[] Signs = ["==", "!=", "<=", ">=", "//", "(", ")", "[", "]", "{", "}", ".", ",", ":", "|", "+", "-", "*", "/", "%", "~", "=", "<", ">"];

    public static List<TemplatePiece> Split(string source)
    {
        source = source.Replace("\r\n", "\n", StringComparison.Ordinal);
        if (source.EndsWith('\n')) source = source[..^1];
        var pieces = new List<TemplatePiece>();
        int at = 0;
        bool stripNext = false, dropNewline = false;
        while (true)
        {
            int open = NextTag(source, at);
            string text = source[at..(open < 0 ? source.Length : open)];
            if (stripNext) text = text.TrimStart();
            else if (dropNewline && text.StartsWith('\n')) text = text[1..];
            if (open < 0)
            {
                AddText(text);
                return pieces;
            }
            char kind = source[open + 1], mark = open + 2 < source.Length ? source[open + 2] : ' ';
            if (mark == '-') text = text.TrimEnd();
            else if (kind != '{' && mark != '+') text = StripLine(text, open, source);
            AddText(text);
            int start = open + (mark is '-' or '+' ? 3 : 2), end = TagEnd(source, start, kind);
            stripNext = source[end - 1] == '-' && end - 1 >= start;
            bool keep = source[end - 1] == '+' && end - 1 >= start;
            dropNewline = kind != '{' && !keep;
            string content = source[start..(stripNext || keep ? end - 1 : end)];
            if (kind != '#') pieces.Add(new TemplatePiece(kind == '{' ? PieceKind.Output : PieceKind.Statement, Tokens(content), content));
            at = end + 2;
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
        string stripped = text.TrimEnd(' ', '\t');
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

    private static List<Token> Tokens(string content)
    {
        var tokens = new List<Token>();
        for (int i = 0; i < content.Length;)
        {
            char c = content[i];
            if (char.IsWhiteSpace(c))
            {
                i++;
                continue;
            }
            int start = i;
            if (char.IsAsciiLetter(c) || c == '_')
            {
                while (i < content.Length && (char.IsAsciiLetterOrDigit(content[i]) || content[i] == '_')) i++;
                tokens.Add(new Token(TokenKind.Name, content[start..i]));
            }
            else if (char.IsAsciiDigit(c))
            {
                while (i < content.Length && char.IsAsciiDigit(content[i])) i++;
                tokens.Add(new Token(TokenKind.Number, content[start..i]));
            }
            else if (c is '\'' or '"') tokens.Add(new Token(TokenKind.Text, Quoted(content, ref i)));
            else
            {
                string sign = Signs.FirstOrDefault(known => string.CompareOrdinal(content, start, known, 0, known.Length) == 0)
                    ?? throw new ChatTemplateException($"The chat template: '{c}' in '{TemplatePiece.Show(content)}' is not known.");
                tokens.Add(new Token(TokenKind.Sign, sign));
                i += sign.Length;
            }
        }
        return tokens;
    }

    private static string Quoted(string content, ref int i)
    {
        char quote = content[i++];
        var text = new StringBuilder();
        for (; i < content.Length && content[i] != quote; i++)
        {
            if (content[i] != '\\' || i + 1 == content.Length)
            {
                text.Append(content[i]);
                continue;
            }
            i++;
            switch (content[i])
            {
                case 'n':
                    text.Append('\n');
                    break;
                case 't':
                    text.Append('\t');
                    break;
                case 'r':
                    text.Append('\r');
                    break;
                case '\\' or '\'' or '"':
                    text.Append(content[i]);
                    break;
                default:
                    text.Append('\\').Append(content[i]);
                    break;
            }
        }
        i++;
        return text.ToString();
    }
}
