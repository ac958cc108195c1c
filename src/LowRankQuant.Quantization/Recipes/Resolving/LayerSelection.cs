using System.Text.RegularExpressions;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Quantization.Options;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>
/// Which rule of <c>layers</c> every linear of a model has: of several that match, the last. A rule with a grid takes a linear that its family leaves in its own type only where its
/// pattern says the linear's name in full (<see cref="LinearPattern.SaysName"/>); a rule that keeps takes whatever it matches.
/// </summary>
internal sealed class LayerSelection
{
    private const int Named = 4;

    // By block and place within it, of all linears and of those that are quantized.
    private readonly LayerRule?[][] _all, _quantized;
    private readonly ModelLayout _model;

    /// <summary>Matches the rules.</summary>
    /// <param name="rules">The rules.</param>
    /// <param name="model">All linears.</param>
    /// <param name="problems">Receives what is wrong with the patterns.</param>
    public LayerSelection(IReadOnlyList<LayerRule> rules, ModelLayout model, List<string> problems)
    {
        _model = model;
        _all = [.. model.AllLinears.Select(block => new LayerRule?[block.Count])];
        foreach (LayerRule rule in rules)
        {
            // Where one expression takes too long, no other gets the time to.
            if (!TryApply(rule, problems)) break;
        }
        Chosen = Choose();
        Layout = model.Select(Chosen);
        _quantized = [.. _all.Select((block, i) => block.Where((_, j) => !IsKept(i, j)).ToArray())];
        if (Chosen is not null && Layout.LinearWeights == 0) problems.Add("`layers` leaves every linear in its own type, so that nothing is quantized; leave some of them out.");
    }

    /// <summary>What was chosen; null where it is as the family has it.</summary>
    public LinearSelection? Chosen { get; }

    /// <summary>The model with the linears that were chosen.</summary>
    public ModelLayout Layout { get; }

    /// <summary>The rule of a linear that is quantized; null for none.</summary>
    /// <param name="block">Number of its block.</param>
    /// <param name="linear">Its place among those of <see cref="Layout"/>.</param>
    public LayerRule? RuleOf(int block, int linear) => _quantized[block][linear];

    /// <summary>All rules that some quantized linear has.</summary>
    public IEnumerable<LayerRule> Used => _quantized.SelectMany(block => block).OfType<LayerRule>().Distinct();

    /// <summary>Whether linears of a kind that their family leaves in its own type are quantized in some blocks alone.</summary>
    /// <param name="linear">The kind.</param>
    public bool IsPartlyKept(LinearShape linear) => linear.KeptByDefault && Chosen?.Quantized.Contains(linear.Name) != true;

    /// <summary>Whether a rule takes a linear that its pattern matches.</summary>
    public static bool MayMatch(LayerRule rule, LinearShape linear) => !linear.KeptByDefault || rule.Keeps || LinearPattern.SaysName(rule.Match, linear.Name);

    /// <summary>What is worth knowing about the choice, a sentence each.</summary>
    public IEnumerable<string> Notes()
    {
        if (Chosen is null) yield break;
        if (Chosen.Kept.Count > 0) yield return $"In their own type, and not quantized, stay {Names(Chosen.Kept)} (`layers`).";
        if (Chosen.Quantized.Count > 0) yield return $"Quantized, though usually left in their own type, are {Names(Chosen.Quantized)} (`layers`).";
    }

    private static string Names(IReadOnlyList<string> linears) =>
        string.Join(", ", linears.Take(Named)) + (linears.Count > Named ? $" and {linears.Count - Named} more" : "");

    // Whether linears were found in time.
    private bool TryApply(LayerRule rule, List<string> problems)
    {
        string item = $"{rule.Match}={rule.Grid}";
        if (rule.Match.Length == 0 || rule.Grid.Length == 0)
        {
            problems.Add($"`layers` {item}: give {LayerGridResolver.Form}.");
            return true;
        }
        if (LinearPattern.Compile(rule.Match, out string? problem) is not { } matches)
        {
            problems.Add($"`layers` {item}: {rule.Match} {problem}");
            return true;
        }
        int found = 0;
        var passed = new List<string>();
        try
        {
            for (int i = 0; i < _all.Length; i++)
            {
                for (int j = 0; j < _all[i].Length; j++)
                {
                    LinearShape linear = _model.AllLinears[i][j];
                    if (!matches($"{_model.Blocks[i]}.{linear.Name}", linear.Name)) continue;
                    if (!MayMatch(rule, linear))
                    {
                        passed.Add(linear.Name);
                        continue;
                    }
                    _all[i][j] = rule;
                    found++;
                }
            }
        }
        catch (RegexMatchTimeoutException)
        {
            problems.Add($"`layers` {item}: the expression takes too long on names of linears; make it simpler.");
            return false;
        }
        if (found > 0) return true;
        problems.Add(passed.Count == 0
            ? $"`layers` {item}: no linear of the model matches {rule.Match}; blocks have {string.Join(", ", _model.Kinds.Select(linear => linear.Name).Distinct())}, and module paths look like {_model.Modules.Select(module => module.Name).FirstOrDefault()}."
            : $"`layers` {item}: {rule.Match} matches {Names([.. passed.Distinct()])} alone, which stay in their own type unless a pattern ends with their name in full; give {passed[0][(passed[0].LastIndexOf('.') + 1)..]}={rule.Grid}.");
        return true;
    }

    private bool IsKept(int block, int linear) => _all[block][linear]?.Keeps ?? _model.AllLinears[block][linear].KeptByDefault;

    // By name where all linears of the name are otherwise than the family has them, else by path.
    private LinearSelection? Choose()
    {
        var kept = new List<string>();
        var quantized = new List<string>();
        foreach (var same in _model.AllLinears.SelectMany((block, i) => block.Select((linear, j) => (Linear: linear, Block: i, Place: j))).GroupBy(linear => linear.Linear.Name, StringComparer.Ordinal))
        {
            var others = same.Where(linear => IsKept(linear.Block, linear.Place) != linear.Linear.KeptByDefault).ToArray();
            if (others.Length == 0) continue;
            List<string> chosen = others[0].Linear.KeptByDefault ? quantized : kept;
            if (others.Length == same.Count()) chosen.Add(same.Key);
            else chosen.AddRange(others.Select(linear => $"{_model.Blocks[linear.Block]}.{linear.Linear.Name}"));
        }
        return kept.Count + quantized.Count == 0 ? null : new LinearSelection(kept, quantized);
    }
}
