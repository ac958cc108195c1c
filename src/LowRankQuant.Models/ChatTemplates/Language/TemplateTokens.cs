using System.Globalization;
using System.Text;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Language;

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

/// <summary>Cuts what stands in a tag into tokens.</summary>
internal static class TemplateTokens
{
    private static readonly string[] Signs = ["==", "!=", "<=", ">=", "//", "**", "(", ")", "[", "]", "{", "}", ".", ",", ":", "|", "+", "-", "*", "/", "%", "~", "=", "<", ">"];

    public static List<Token> Of(string content)
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
                // Behind a point stands an index, which has no fraction.
                Number(content, ref i, whole: tokens is [.., { Kind: TokenKind.Sign, Text: "." }]);
                tokens.Add(new Token(TokenKind.Number, content[start..i].Replace("_", "", StringComparison.Ordinal)));
            }
            else if (c is '\'' or '"') tokens.Add(new Token(TokenKind.Text, Quoted(content, ref i)));
            else
            {
                string sign = Signs.FirstOrDefault(known => string.CompareOrdinal(content, start, known, 0, known.Length) == 0)
                    ?? throw new ChatTemplateException($"The chat template: '{c}' in '{ChatTemplateException.Show(content)}' is not known.");
                tokens.Add(new Token(TokenKind.Sign, sign));
                i += sign.Length;
            }
        }
        return tokens;
    }

    private static void Number(string content, ref int i, bool whole)
    {
        Digits(ref i);
        if (whole) return;
        if (i + 1 < content.Length && content[i] == '.' && char.IsAsciiDigit(content[i + 1]))
        {
            i++;
            Digits(ref i);
        }
        int exponent = i + 1;
        if (i >= content.Length || content[i] is not ('e' or 'E')) return;
        if (exponent < content.Length && content[exponent] is '+' or '-') exponent++;
        if (exponent >= content.Length || !char.IsAsciiDigit(content[exponent])) return;
        i = exponent;
        Digits(ref i);

        void Digits(ref int at)
        {
            while (at < content.Length && (char.IsAsciiDigit(content[at]) || (content[at] == '_' && at + 1 < content.Length && char.IsAsciiDigit(content[at + 1])))) at++;
        }
    }

    private static string Quoted(string content, ref int i)
    {
        char quote = content[i++];
        var text = new StringBuilder();
        for (; i < content.Length && content[i] != quote; i++)
        {
            if (content[i] != '\\' || i + 1 == content.Length) text.Append(content[i]);
            else
            {
                i++;
                Escaped(text, content, ref i);
            }
        }
        i++;
        return text.ToString();
    }

    // The escapes of Python's texts; what is none stays, with its backslash.
    private static void Escaped(StringBuilder text, string content, ref int i)
    {
        char c = content[i];
        int plain = "abfnrtv\\'\"\n".IndexOf(c, StringComparison.Ordinal);
        if (plain >= 0)
        {
            // The end of a line that is escaped is not there.
            if (c != '\n') text.Append("\a\b\f\n\r\t\v\\'\""[plain]);
            return;
        }
        if (c is >= '0' and <= '7')
        {
            int value = 0, end = Math.Min(i + 3, content.Length);
            for (; i < end && content[i] is >= '0' and <= '7'; i++) value = (value * 8) + content[i] - '0';
            i--;
            text.Append((char)value);
            return;
        }
        int digits = c switch { 'x' => 2, 'u' => 4, 'U' => 8, _ => 0 };
        if (digits == 0)
        {
            if (c == 'N') throw Wrong();
            text.Append('\\').Append(c);
            return;
        }
        if (i + digits >= content.Length || !int.TryParse(content.AsSpan(i + 1, digits), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out int code) || !Rune.IsValid(code)) throw Wrong();
        text.Append(new Rune(code));
        i += digits;

        ChatTemplateException Wrong() => new($"The chat template: '\\{c}' in '{ChatTemplateException.Show(content)}' is no character that is known.");
    }
}
