namespace LowRankQuant.Models.ChatTemplates.Values;

/// <summary>What <c>loop</c> is within a loop. Looks only as far ahead as it is asked.</summary>
internal sealed class TemplateLoop(IEnumerable<object?> chosen, TemplateBudget budget)
{
    private readonly IEnumerator<object?> _rest = chosen.GetEnumerator();
    private readonly List<object?> _known = [];
    private int _at = -1;
    private object? _changed = new Undefined("loop.changed");

    /// <summary>The next element.</summary>
    public bool Next(out object? item)
    {
        bool more = Has(_at + 1);
        item = more ? _known[++_at] : null;
        return more;
    }

    /// <summary>A member such as <c>index</c>; undefined where there is none of this name.</summary>
    public object? Member(string name) => name switch
    {
        "index" => _at + 1L,
        "index0" => (long)_at,
        "revindex" => (long)(Count() - _at),
        "revindex0" => Count() - _at - 1L,
        "first" => _at == 0,
        "last" => !Has(_at + 1),
        "length" => (long)Count(),
        "previtem" => _at > 0 ? _known[_at - 1] : new Undefined("loop.previtem"),
        "nextitem" => Has(_at + 1) ? _known[_at + 1] : new Undefined("loop.nextitem"),
        // Of loops that call themselves, which are not known.
        "depth" => 1L,
        "depth0" => 0L,
        "cycle" => new TemplateFunction("loop.cycle", (_, call) => call.Plain(1, int.MaxValue)[_at % call.Positional.Count]),
        "changed" => new TemplateFunction("loop.changed", (_, call) => Changed(TemplateSequence.Tuple(call.Plain(0, int.MaxValue)))),
        _ => new Undefined($"loop.{name}"),
    };

    private bool Changed(TemplateSequence values)
    {
        if (TemplateValue.AreEqual(_changed, values, budget)) return false;
        _changed = values;
        return true;
    }

    private bool Has(int at)
    {
        while (_known.Count <= at)
        {
            if (!_rest.MoveNext()) return false;
            _known.Add(_rest.Current);
        }
        return true;
    }

    private int Count()
    {
        while (Has(_known.Count))
        {
        }
        return _known.Count;
    }
}
