using LowRankQuant.Models;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Quantization.Activations;

namespace LowRankQuant.Runs.Measuring;

/// <summary>What a run has written, opened to be run as its recipe says.</summary>
internal static class WrittenResult
{
    /// <summary>Opens it; the caller's.</summary>
    /// <param name="job">The run.</param>
    /// <param name="output">Its folder.</param>
    public static CausalModel Open(QuantizeJob job, string output)
    {
        var result = new CausalModel(CheckpointOpener.Open(output, use: ModelUse.Weights), job.Model.Device) { Paging = job.Model.Paging, RunsQuantizers = job.Recipe.Activations is not null || job.Recipe.Cache is not null };
        result.Selection = job.Recipe.Selection?.Renamed(job.Model.Layout, result.Layout);
        return result;
    }

    /// <summary>Gives its blocks with the cache of the recipe where no checkpoint can name that; null where the model's own blocks are all.</summary>
    /// <param name="job">The run.</param>
    /// <param name="result">Its result.</param>
    public static Func<int, IDecoderBlock>? Blocks(QuantizeJob job, CausalModel result)
    {
        return job.Recipe.Cache is { IsStorable: false } cache ? WithCache : null;

        IDecoderBlock WithCache(int index)
        {
            IDecoderBlock block = result.LoadBlock(index);
            var quantizers = BlockQuantizers.OfCache(block, cache, result.Device);
            quantizers.Install();
            block.Own(quantizers);
            return block;
        }
    }
}
