using System.Globalization;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Functions;

/// <summary>The tests behind <c>is</c>, and of filters such as <c>select</c>.</summary>
internal static class TemplateTests
{
    private delegate bool Test(TemplateBudget budget, object? value, object? argument);

    // Without an argument, and with one.
    private static readonly Dictionary<string, (bool Takes, Test Holds)> Known = new(StringComparer.Ordinal)
    {
        ["defined"] = (false, (_, value, _) => value is not Undefined),
        ["undefined"] = (false, (_, value, _) => value is Undefined),
        ["none"] = (false, (_, value, _) => value is null),
        ["string"] = (false, (_, value, _) => value is string or TemplateMarkup),
        ["number"] = (false, (_, value, _) => value is long or double or bool),
        ["integer"] = (false, (_, value, _) => value is long),
        ["float"] = (false, (_, value, _) => value is double),
        ["boolean"] = (false, (_, value, _) => value is bool),
        ["true"] = (false, (_, value, _) => value is true),
        ["false"] = (false, (_, value, _) => value is false),
        ["mapping"] = (false, (_, value, _) => value is Dictionary<string, object?>),
        ["iterable"] = (false, (_, value, _) => value is string or TemplateMarkup or List<object?> or Dictionary<string, object?> or Undefined or TemplateStream or TemplateLoop),
        ["sequence"] = (false, (_, value, _) => value is string or TemplateMarkup or (List<object?> and not TemplateSequence { Kind: SequenceKind.View }) or Dictionary<string, object?> or Undefined),
        ["callable"] = (false, (_, value, _) => value is TemplateFunction or Undefined or TemplateLoop),
        ["odd"] = (false, (budget, value, _) => Rest(value, 2L, budget) == 1),
        ["even"] = (false, (budget, value, _) => Rest(value, 2L, budget) == 0),
        ["lower"] = (false, (budget, value, _) => TemplateLetters.AllAre(UnicodeCategory.LowercaseLetter, TemplateText.Of(value, budget))),
        ["upper"] = (false, (budget, value, _) => TemplateLetters.AllAre(UnicodeCategory.UppercaseLetter, TemplateText.Of(value, budget))),
        ["divisibleby"] = (true, (budget, value, argument) => Rest(value, argument, budget) == 0),
        ["in"] = (true, (budget, value, argument) => TemplateValue.Contains(argument, value, budget)),
        ["sameas"] = (true, (budget, value, argument) => IsSame(value, argument, budget)),
        ["eq"] = (true, (budget, value, argument) => TemplateValue.AreEqual(value, argument, budget)),
        ["ne"] = (true, (budget, value, argument) => !TemplateValue.AreEqual(value, argument, budget)),
        ["gt"] = (true, (budget, value, argument) => TemplateValue.Compare(value, argument, budget) > 0),
        ["ge"] = (true, (budget, value, argument) => TemplateValue.Compare(value, argument, budget) >= 0),
        ["lt"] = (true, (budget, value, argument) => TemplateValue.Compare(value, argument, budget) < 0),
        ["le"] = (true, (budget, value, argument) => TemplateValue.Compare(value, argument, budget) <= 0),
    };

    private static readonly Dictionary<string, string> Others = new(StringComparer.Ordinal)
    {
        ["equalto"] = "eq",
        ["=="] = "eq",
        ["!="] = "ne",
        [">"] = "gt",
        ["greaterthan"] = "gt",
        [">="] = "ge",
        ["<"] = "lt",
        ["lessthan"] = "lt",
        ["<="] = "le",
    };

    /// <summary>Fails where there is no test of this name.</summary>
    public static void Check(string name) => Find(name);

    /// <summary>Whether a test holds of a value.</summary>
    public static bool Holds(TemplateBudget budget, string name, object? value, TemplateCall call)
    {
        (bool takes, Test holds) = Find(name);
        budget.Look(value);
        call.Plain(takes ? 1 : 0, takes ? 1 : 0);
        return holds(budget, value, call.First);
    }

    private static (bool Takes, Test Holds) Find(string name) => Known.TryGetValue(Others.GetValueOrDefault(name, name), out (bool, Test) test)
        ? test
        : throw new ChatTemplateException($"The chat template: the test '{ChatTemplateException.Show(name)}' is not known; {string.Join(", ", Known.Keys.Concat(Others.Keys))} are.");

    private static double Rest(object? value, object? by, TemplateBudget budget) =>
        value is string or TemplateMarkup ? throw TemplateValue.Wrong(value, "is no number") : TemplateValue.Number(TemplateArithmetic.Of("%", value, by, budget));

    // Python keeps one none, one true and one false; whether equal numbers and texts are one is up to its version.
    private static bool IsSame(object? a, object? b, TemplateBudget budget) => (a, b) switch
    {
        (null or bool, _) or (_, null or bool) => Equals(a, b),
        (string or long or double, string or long or double) when a.GetType() == b.GetType() && TemplateValue.AreEqual(a, b, budget) =>
            throw new ChatTemplateException("The chat template: 'sameas' of texts or numbers is not known; 'eq' says whether they are equal."),
        _ => ReferenceEquals(a, b),
    };
}
