using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;

namespace LowRankQuant.Models.Families;

/// <summary>A model on its way into a GGUF file.</summary>
internal sealed class GgufSubject
{
    private readonly Lazy<ModelLayout> _layout;

    /// <summary>Keeps both.</summary>
    /// <param name="reader">Its configuration.</param>
    /// <param name="model">What its family makes of it.</param>
    public GgufSubject(ConfigReader reader, Architecture model)
    {
        Reader = reader;
        Config = model.Config;
        _layout = new Lazy<ModelLayout>(() => model.Layout(_ => false));
    }

    /// <summary>Its configuration.</summary>
    public ConfigReader Reader { get; }

    /// <summary>Sizes and choices.</summary>
    public DecoderConfig Config { get; }

    /// <summary>Whether a block has a tensor.</summary>
    /// <param name="block">Number of the block.</param>
    /// <param name="name">Full name within it.</param>
    public bool Has(int block, string name) => _layout.Value.Find($"{_layout.Value.Blocks[block]}.{name}") is not null;

    /// <summary>Shape of a tensor in the first block that has it; null where none does.</summary>
    /// <param name="name">Full name within a block.</param>
    public IReadOnlyList<int>? ShapeOf(string name) => _layout.Value.Blocks.Select(block => _layout.Value.Find($"{block}.{name}")).FirstOrDefault(found => found is not null)?.Shape;
}
