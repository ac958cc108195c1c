using System.Globalization;
using System.Text;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Functions;

/// <summary>
/// The function <c>strftime_now</c>, by which templates ask what day it is. There is no clock, so that results do not change from day to day: the date
/// is a variable that is given.
/// </summary>
internal static class TemplateClock
{
    /// <summary>Name of the function, and of the variable that gives the date.</summary>
    public const string Name = "strftime_now";

    // The longest directive is two characters, and the longest name of a month or day nine.
    private const long Growth = 5;
    private static readonly string[] Formats = ["yyyy-MM-dd", "yyyy-MM-dd'T'HH:mm", "yyyy-MM-dd'T'HH:mm:ss", "yyyy-MM-dd HH:mm:ss"];

    /// <summary>The function for a date.</summary>
    /// <param name="date">Such as <c>2026-12-01</c> or <c>2026-12-01T13:45:00</c>.</param>
    /// <exception cref="ChatTemplateException">It is no date.</exception>
    public static TemplateFunction Of(object? date)
    {
        if (date is not string text || !DateTime.TryParseExact(text, Formats, CultureInfo.InvariantCulture, DateTimeStyles.None, out DateTime now))
            throw new ChatTemplateException($"'{Name}' must be the date that the template is to see, such as \"2026-12-01\" or \"2026-12-01T13:45:00\".");
        return new TemplateFunction(Name, (budget, call) =>
        {
            string format = call.Text(call.Bind(("format", TemplateCall.Required))[0]);
            TemplateBudget.CheckLength(format.Length * Growth);
            budget.Look(format);
            return Formatted(now, format);
        });
    }

    /// <summary>What a template is told that asks for a date where none is given.</summary>
    public static ChatTemplateException Missing() => new(
        $"The chat template asks what day it is by {Name}(), and results are not to change from day to day: give it a date by `chat_template_kwargs`, such as {{\"{Name}\": \"2026-12-01\"}}.");

    private static string Formatted(DateTime now, string format)
    {
        var all = new StringBuilder();
        for (int i = 0; i < format.Length; i++)
        {
            if (format[i] != '%')
            {
                all.Append(format[i]);
                continue;
            }
            // A dash takes the zero or space in front away.
            bool bare = i + 1 < format.Length && format[i + 1] == '-';
            string directive = format[i..Math.Min(i + (bare ? 3 : 2), format.Length)];
            all.Append(Part(now, directive));
            i += directive.Length - 1;
        }
        return all.ToString();
    }

    private static string Part(DateTime now, string directive)
    {
        (char kind, bool bare) = directive.Length == 3 ? (directive[2], true) : (directive.Length == 2 ? directive[1] : ' ', false);
        int hour = now.Hour % 12 == 0 ? 12 : now.Hour % 12;
        return kind switch
        {
            'Y' => Digits(now.Year, 4),
            'y' => Digits(now.Year % 100, 2),
            'm' => Digits(now.Month, 2),
            'd' => Digits(now.Day, 2),
            'e' => bare ? Digits(now.Day, 2) : now.Day.ToString(CultureInfo.InvariantCulture).PadLeft(2),
            'H' => Digits(now.Hour, 2),
            'I' => Digits(hour, 2),
            'M' => Digits(now.Minute, 2),
            'S' => Digits(now.Second, 2),
            'j' => Digits(now.DayOfYear, 3),
            'f' when !bare => "000000",
            'p' when !bare => now.Hour < 12 ? "AM" : "PM",
            'B' when !bare => Named("MMMM"),
            'b' or 'h' when !bare => Named("MMM"),
            'A' when !bare => Named("dddd"),
            'a' when !bare => Named("ddd"),
            'F' when !bare => Named("yyyy-MM-dd"),
            'T' when !bare => Named("HH:mm:ss"),
            '%' when !bare => "%",
            _ => throw new ChatTemplateException($"The chat template: '{directive}' in {Name}() is not known; %Y %y %m %d %e %H %I %M %S %f %j %p %B %b %A %a %F %T and %% are."),
        };

        string Digits(int number, int digits) => number.ToString(CultureInfo.InvariantCulture).PadLeft(bare ? 1 : digits, '0');

        string Named(string of) => now.ToString(of, CultureInfo.InvariantCulture);
    }
}
