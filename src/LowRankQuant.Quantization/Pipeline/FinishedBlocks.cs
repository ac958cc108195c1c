using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Storage;

namespace LowRankQuant.Quantization.Pipeline;

/// <summary>Block files of a finished run, made again from the codes of its result: as the method left them, before the model was tuned.</summary>
/// <param name="result">The result as a model.</param>
/// <param name="model">The source.</param>
/// <param name="folder">The run.</param>
/// <param name="store">Its store.</param>
public sealed class FinishedBlocks(CausalModel result, CausalModel model, RunFolder folder, CompressedBlockStore store)
{
    /// <summary>Writes the file of a block.</summary>
    /// <param name="report">What became of it.</param>
    /// <exception cref="RunFolderException">The result does not hold it as the recipe says.</exception>
    public void Restore(BlockReport report)
    {
        int index = report.Index;
        var weights = new List<(string Name, QuantizedWeight Weight)>();
        for (int i = 0; i < model.LinearsOf(index).Count; i++)
        {
            string linear = model.LinearsOf(index)[i].Name, name = $"{model.BlockName(index)}.{linear}";
            // The result may call its blocks otherwise, as a folder written from a GGUF file does.
            string stored = $"{result.BlockName(index)}.{linear}.weight";
            QuantizedWeight? weight = result.Checkpoint.Contains(stored) ? result.Checkpoint.ReadQuantized(stored) : null;
            if (weight is null || weight.Grid != store.GridOf(model.BlockName(index), linear))
            {
                string held = weight is null ? "has no codes" : $"is {weight.Grid} and not {store.GridOf(model.BlockName(index), linear)}";
                throw new RunFolderException($"{folder.Output}: {stored} {held}, so that block {index} cannot be kept; delete the folder to make the run again.");
            }
            weights.Add((name, weight));
        }
        IReadOnlyList<PendingTensor> tensors = store.Tensors(weights);
        using SafetensorsFile? before = folder.OpenUntuned(index);
        if (before is not null) tensors = [.. tensors.Select(tensor => before.Contains(tensor.Name) ? PendingTensor.Copy(before, tensor.Name) : tensor)];
        folder.WriteBlock(index, tensors, report);
    }
}
