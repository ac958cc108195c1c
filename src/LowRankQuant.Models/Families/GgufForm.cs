using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Decoder.Layouts;

namespace LowRankQuant.Models.Families;

/// <summary>The GGUF form of a model: its architecture there, its keys, and how its tensors lie.</summary>
public sealed class GgufForm
{
    private readonly GgufArchitecture _architecture;
    private readonly GgufSubject _subject;
    private readonly Architecture _model;

    internal GgufForm(GgufArchitecture architecture, ConfigReader reader, Architecture model)
    {
        _architecture = architecture;
        _subject = new GgufSubject(reader, model);
        _model = model;
    }

    /// <summary><c>general.architecture</c>.</summary>
    public string Name => _architecture.Name;

    /// <summary>Why llama.cpp would compute something else than the model, a sentence each; empty where it would not.</summary>
    public IReadOnlyList<string> Problems => [.. GgufLimits.Problems(_architecture, _subject)];

    /// <summary>What a user of a file should know, a sentence each.</summary>
    public IReadOnlyList<string> Warnings => [.. GgufLimits.Warnings(_architecture, _subject)];

    internal GgufArchitecture Architecture => _architecture;

    /// <summary>Keys and values of the metadata that stand for the configuration, in the usual order.</summary>
    internal IEnumerable<KeyValuePair<string, GgufValue>> Metadata()
    {
        var values = new List<(string Key, object? Value)>(GgufValues.Usual(_architecture, _subject.Config, GgufLimits.Context(_architecture, _subject)));
        foreach (GgufField field in _architecture.Fields.Where(field => field.Key.Length > 0))
        {
            int at = values.FindIndex(pair => pair.Key == field.Key);
            object? value = field.Write(_subject);
            if (at >= 0) values[at] = (field.Key, value);
            else values.Add((field.Key, value));
        }
        return values.Where(pair => pair.Value is not null).Select(pair => new KeyValuePair<string, GgufValue>($"{Name}.{pair.Key}", GgufValue.Of(pair.Value!)));
    }

    /// <summary>Tensors that stand for angles.</summary>
    internal IEnumerable<(string Name, float[] Values)> RopeTensors() => GgufValues.RopeTensors(_architecture, _subject.Config);

    /// <summary>The tensors of a file, in its order.</summary>
    /// <param name="layout">The model's.</param>
    /// <param name="unplaced">Tensors that have no place in the architecture.</param>
    internal IReadOnlyList<GgufStored> Place(ModelLayout layout, out IReadOnlyList<string> unplaced) => GgufPlacement.Of(_architecture, _subject, _model, layout, out unplaced);

    /// <summary>Tensors of the model that the metadata of a file hold.</summary>
    /// <param name="layout">The model's.</param>
    internal IReadOnlyList<GgufStored> Numbers(ModelLayout layout) =>
    [
        .. _architecture.Numbers.Select(number => new GgufStored(
            number.Key, [_subject.Config.Layers], [.. layout.Blocks.Select(block => new GgufPart(layout.Find($"{block}.{number.Model}")!))]) { IsKey = true }),
    ];
}
