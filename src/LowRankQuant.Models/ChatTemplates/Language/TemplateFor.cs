using System.Text;
using LowRankQuant.Models.ChatTemplates.Values;

namespace LowRankQuant.Models.ChatTemplates.Language;

using Expression = Func<TemplateScope, object?>;

/// <summary>A <c>for</c>.</summary>
/// <param name="Target">The names.</param>
/// <param name="Items">What is looped over.</param>
/// <param name="Filter">Which elements are left out; null for none.</param>
/// <param name="Each">What is done for each.</param>
/// <param name="Otherwise">What is done where there are none; null for nothing.</param>
internal sealed record TemplateFor(TemplateTarget Target, Expression Items, Expression? Filter, Body Each, Body? Otherwise)
{
    public Flow Run(TemplateScope outer, StringBuilder text)
    {
        var loop = new TemplateLoop(Chosen(outer), outer.Budget);
        // Jinja takes a loop for empty where none of its turns came to the end.
        bool ended = false;
        while (loop.Next(out object? item))
        {
            TemplateScope scope = Inner(outer, item);
            scope.Set("loop", loop);
            Flow flow = Each(scope, text);
            if (flow == Flow.Break) break;
            ended |= flow == Flow.On;
        }
        return ended ? Flow.On : Otherwise?.Invoke(outer, text) ?? Flow.On;
    }

    // One by one: a condition may ask for what the loop changes.
    private IEnumerable<object?> Chosen(TemplateScope outer)
    {
        foreach (object? item in outer.Budget.Pay(TemplateValue.Items(Items(outer))))
        {
            outer.Budget.Spend();
            if (Filter is null || TemplateValue.Truth(Filter(Inner(outer, item)))) yield return item;
        }
    }

    private TemplateScope Inner(TemplateScope outer, object? item)
    {
        var scope = new TemplateScope(outer);
        Target.Assign(scope, item);
        return scope;
    }
}
