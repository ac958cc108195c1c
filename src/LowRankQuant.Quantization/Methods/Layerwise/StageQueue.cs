using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Layers;

namespace LowRankQuant.Quantization.Methods.Layerwise;

/// <summary>Statistics of stages of a single site, asked for one after the other; as many as fit the memory are taken in one run over the windows, with the block as it stands.</summary>
/// <param name="statistics">Takes them.</param>
/// <param name="input">Windows at the input of the block.</param>
/// <param name="windows">The windows to use.</param>
internal sealed class StageQueue(StageStatistics statistics, ActivationStream input, WindowRange windows)
{
    private Dictionary<int, InputStatistics> _taken = [];

    /// <summary>The statistics of a stage, which are the caller's; null where it has several sites.</summary>
    /// <param name="stage">Its number, larger than the last.</param>
    public InputStatistics? Take(int stage)
    {
        if (statistics.Stages(input)[stage].Sites.Count > 1) return null;
        if (!_taken.ContainsKey(stage)) _taken = statistics.From(stage, input, windows);
        _taken.Remove(stage, out InputStatistics? taken);
        return taken;
    }
}
