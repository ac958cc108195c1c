using System.Globalization;
using System.Text;

namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>
/// HTML or SVG in the making. What is interpolated is text and escaped, unless it is markup itself: a string that comes from a report, such as a model's name or a token, can never
/// become a tag, an attribute or a script.
/// </summary>
internal sealed class Markup
{
    private readonly StringBuilder _text = new();

    /// <summary>Adds markup; every value that is interpolated is escaped.</summary>
    public Markup Add(FormattableString markup)
    {
        _text.AppendFormat(Escaping.Formatter, markup.Format, markup.GetArguments()).Append('\n');
        return this;
    }

    /// <summary>Adds markup that is finished.</summary>
    public Markup Add(Markup markup)
    {
        _text.Append(markup._text);
        return this;
    }

    /// <summary>Markup that was written by this program: its own style sheet and script.</summary>
    public static Markup Own(string text)
    {
        var markup = new Markup();
        markup._text.Append(text);
        return markup;
    }

    /// <summary>Markup of one line.</summary>
    public static Markup Of(FormattableString markup)
    {
        var made = new Markup();
        made._text.AppendFormat(Escaping.Formatter, markup.Format, markup.GetArguments());
        return made;
    }

    /// <inheritdoc/>
    public override string ToString() => _text.ToString();

    /// <summary>Text as it may stand between tags and in quoted attributes. What no page can hold, or what turns the direction of the text around it, is shown as U+FFFD.</summary>
    public static string Escape(string text)
    {
        var escaped = new StringBuilder(text.Length + 16);
        for (int i = 0; i < text.Length; i++)
        {
            char letter = text[i];
            bool pair = char.IsHighSurrogate(letter) && i + 1 < text.Length && char.IsLowSurrogate(text[i + 1]);
            if (pair) escaped.Append(letter).Append(text[++i]);
            else escaped.Append(letter switch
            {
                '&' => "&amp;",
                '<' => "&lt;",
                '>' => "&gt;",
                '"' => "&quot;",
                '\'' => "&#39;",
                '\n' or '\t' => letter.ToString(),
                '\u2028' or '\u2029' or '\ufffe' or '\uffff' or (>= '\u202a' and <= '\u202e') or (>= '\u2066' and <= '\u2069') => "\ufffd",
                _ => char.IsControl(letter) || char.IsSurrogate(letter) ? "\ufffd" : letter.ToString(),
            });
        }
        return escaped.ToString();
    }

    private sealed class Escaping : IFormatProvider, ICustomFormatter
    {
        public static readonly Escaping Formatter = new();

        public object? GetFormat(Type? formatType) => formatType == typeof(ICustomFormatter) ? this : null;

        public string Format(string? format, object? arg, IFormatProvider? formatProvider) => arg switch
        {
            null => "",
            Markup markup => markup.ToString(),
            IFormattable number => Escape(number.ToString(format, CultureInfo.InvariantCulture)),
            _ => Escape(arg.ToString() ?? ""),
        };
    }
}
