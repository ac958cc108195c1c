using LowRankQuant.Models;
using LowRankQuant.Models.Decoder;

namespace LowRankQuant.Tests.Evaluation;

/// <summary>Counts blocks as they are loaded and given back, of several models together.</summary>
internal sealed class CountedBlocks
{
    /// <summary>Blocks that are in memory now.</summary>
    public int Held { get; private set; }

    /// <summary>Most that were at once.</summary>
    public int Most { get; private set; }

    /// <summary>Loads of each model.</summary>
    public Dictionary<CausalModel, int> Loads { get; } = [];

    public Func<int, IDecoderBlock> Of(CausalModel model)
    {
        Loads[model] = 0;
        return index =>
        {
            IDecoderBlock block = model.LoadBlock(index);
            block.Own(new End(this));
            Loads[model]++;
            Most = Math.Max(Most, ++Held);
            return block;
        };
    }

    private sealed class End(CountedBlocks counts) : IDisposable
    {
        public void Dispose() => counts.Held--;
    }
}
