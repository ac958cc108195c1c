using System.Numerics;

namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>What operators make of values. Whole numbers have 64 bits; what would take more is refused, where Python goes on.</summary>
internal static class TemplateArithmetic
{
    public static object? Add(object? a, object? b, TemplateBudget budget)
    {
        switch (a, b)
        {
            case (string x, string y):
                return budget.Pay(Joined(x, y));
            case (List<object?> x, List<object?> y) when IsTuple(x) == IsTuple(y) && !IsOther(x) && !IsOther(y):
                long count = (long)x.Count + y.Count;
                CheckCount(count);
                budget.Elements(count);
                return IsTuple(x) ? TemplateSequence.Tuple(x.Concat(y)) : (List<object?>)[.. x, .. y];
            default:
                return Of("+", a, b, budget);
        }
    }

    /// <summary>Two texts behind each other.</summary>
    public static string Joined(string a, string b)
    {
        TemplateBudget.CheckLength((long)a.Length + b.Length);
        return a + b;
    }

    /// <summary>Any operator of numbers; <c>*</c> and <c>%</c> of texts and lists as well.</summary>
    public static object Of(string sign, object? a, object? b, TemplateBudget budget)
    {
        switch (sign, a, b)
        {
            case ("*", string or List<object?>, long or bool):
                return Repeated(a, Whole(b), budget);
            case ("*", long or bool, string or List<object?>):
                return Repeated(b, Whole(a), budget);
            case ("%", string format, _):
                return b is TemplateSequence { Kind: SequenceKind.Tuple } tuple
                    ? TemplateFormat.Percent(budget, format, tuple, mayBeLeft: false)
                    // What has elements by name or index may be there for them.
                    : TemplateFormat.Percent(budget, format, [b], mayBeLeft: b is List<object?> or Dictionary<string, object?> or Undefined);
        }
        // What Jinja makes of -2 ** 2 depends on whether it works it out beforehand.
        if (sign == "**" && TemplateValue.Number(a) < 0) throw new ChatTemplateException("The chat template makes a power of a negative number, which is not known.");
        if (a is long or bool && b is long or bool) return OfWhole(sign, Whole(a), Whole(b));
        double x = TemplateValue.Number(a), y = TemplateValue.Number(b);
        if (y == 0 && sign is ("/" or "//" or "%")) throw ByZero();
        return sign switch
        {
            "+" => x + y,
            "-" => x - y,
            "*" => x * y,
            "/" => x / y,
            "//" => Quotient(x, y),
            "**" => Power(x, y),
            _ => Remainder(x, y),
        };
    }

    public static object Negative(object? value) => value is long or bool
        ? OfWhole("-", 0, Whole(value))
        : -TemplateValue.Number(value);

    public static object Positive(object? value) => value is long or bool ? (object)Whole(value) : TemplateValue.Number(value);

    public static object Absolute(object? value) => value is long or bool
        ? Whole(value) < 0 ? Negative(value) : Whole(value)
        : Math.Abs(TemplateValue.Number(value));

    private static object OfWhole(string sign, long x, long y)
    {
        if (y == 0 && sign is ("/" or "//" or "%")) throw ByZero();
        // 64 bits twice are as good as any number.
        Int128 a = x, b = y;
        switch (sign)
        {
            case "/":
                return (double)x / y;
            case "**" when y < 0:
                return Power(x, y);
            case "**":
                if (y > 64 && x is (> 1 or < -1)) throw TooLarge();
                return x is >= -1 and <= 1 ? Fit(x == 0 ? (y == 0 ? 1 : 0) : x == 1 || y % 2 == 0 ? 1 : -1) : Fit(BigInteger.Pow(x, (int)y));
        }
        return Fit(sign switch
        {
            "+" => (BigInteger)(a + b),
            "-" => (BigInteger)(a - b),
            "*" => (BigInteger)(a * b),
            "//" => (BigInteger)((a - WholeRemainder(a, b)) / b),
            _ => (BigInteger)WholeRemainder(a, b),
        });
    }

    // With the sign of what it is divided by, as in Python.
    private static Int128 WholeRemainder(Int128 a, Int128 b) => a % b is var rest && rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;

    private static double Remainder(double x, double y) => x % y is var rest && rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;

    // Worked out by way of the remainder, as Python does: a plain division may be rounded up to the next whole number.
    private static double Quotient(double x, double y)
    {
        double rest = x % y, quotient = (x - rest) / y;
        if (rest != 0 && (rest < 0) != (y < 0)) quotient--;
        double whole = Math.Floor(quotient);
        return quotient - whole > .5 ? whole + 1 : whole;
    }

    private static double Power(double x, double y)
    {
        if (x == 0 && y < 0) throw ByZero();
        double power = Math.Pow(x, y);
        return double.IsFinite(power) ? power : throw new ChatTemplateException("The chat template: a power that is no number, or too large.");
    }

    private static long Fit(BigInteger number) => number >= long.MinValue && number <= long.MaxValue ? (long)number : throw TooLarge();

    private static object Repeated(object value, long times, TemplateBudget budget)
    {
        times = Math.Max(times, 0);
        if (value is string text)
        {
            if (text.Length == 0) return "";
            if (times > TemplateBudget.Longest) times = TemplateBudget.Longest + 1L;
            TemplateBudget.CheckLength(text.Length * times);
            budget.Spend(text.Length * times);
            return string.Concat(Enumerable.Repeat(text, (int)times));
        }
        var list = (List<object?>)value;
        if (IsOther(list)) throw TemplateValue.Wrong(value, "that is no list is taken several times");
        if (times > TemplateLetters.Most) times = TemplateLetters.Most + 1L;
        if (list.Count == 0) times = 0;
        CheckCount(list.Count * times);
        budget.Elements(list.Count * times);
        IEnumerable<object?> all = Enumerable.Repeat(list, (int)times).SelectMany(items => items);
        return IsTuple(list) ? TemplateSequence.Tuple(all) : all.ToList();
    }

    private static void CheckCount(long count)
    {
        if (count > TemplateLetters.Most) throw new ChatTemplateException($"The chat template makes a list of more than {TemplateLetters.Most} elements.");
    }

    private static bool IsTuple(List<object?> list) => list is TemplateSequence { Kind: SequenceKind.Tuple };

    private static bool IsOther(List<object?> list) => list is TemplateSequence { Kind: not SequenceKind.Tuple };

    private static long Whole(object? value) => value is long number ? number : value is true ? 1 : 0;

    private static ChatTemplateException ByZero() => new("The chat template divides by zero.");

    private static ChatTemplateException TooLarge() => new("The chat template makes a whole number of more than 64 bits.");
}
