using LowRankQuant.Formats;
using LowRankQuant.Models;
using LowRankQuant.Quantization.Calibration;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Pipeline;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Runs.Quantizing;

/// <summary>
/// Makes a finished run one that goes on in front of the blocks that are done again: block files of those that are kept come from the result's codes, and the
/// run then goes on as one that was interrupted behind them. Where blocks see text, all behind the first that is done again see another input and follow.
/// The result stays as it is until the new one is written.
/// </summary>
internal static class RunRedo
{
    /// <summary>Restores what is kept.</summary>
    /// <param name="job">The run.</param>
    /// <param name="redo">What is done again.</param>
    /// <param name="calibration">Its windows.</param>
    /// <param name="after">Identity of the run that goes on.</param>
    /// <param name="observer">Told what is kept.</param>
    /// <param name="cancellation">Asks to stop; the finished run is whole then.</param>
    /// <exception cref="RunFolderException">The folder holds no such finished run, or not enough of it.</exception>
    public static void Begin(QuantizeJob job, RedoneBlocks redo, CalibrationSet? calibration, RunFingerprint after, IRunObserver observer, CancellationToken cancellation)
    {
        if (RunFolder.Find(job.Output, out RunFingerprint? found) is not { } folder || found is null)
            throw new RunFolderException($"{job.Output} holds no run of which blocks could be done again; its working files ({RunFolder.WorkName}) are needed beside the result.");
        string report = Path.Combine(folder.Output, RunFolder.ReportName);
        bool goesOn = !File.Exists(report);
        if (goesOn && !File.Exists(folder.EarlierReport)) throw new RunFolderException($"{job.Output} holds a run that is not finished; finish it first, without `redo_blocks`.");
        if (goesOn && found.Equals(after)) return;
        var before = RunFingerprint.Of(
            job.Model.Checkpoint, found.Data == RunFingerprint.NoData ? found.Data : calibration?.Fingerprint ?? RunFingerprint.NoData, redo.Before, job.Model.Device.Kernels.Name, $"{job.Format} {job.ShardBytes}");
        if (!found.Equals(before))
            throw new RunFolderException($"{job.Output} holds another run ({found.DifferenceTo(before)}), so that its blocks cannot be kept beside new ones; make the run again in another folder.");
        // Killed between the two steps of opening it again.
        if (goesOn) File.Move(folder.EarlierReport, report);
        RunReport done = ReportDefaults.Fill(StoredJson.Read(report, RunJson.Default.RunReport, "delete the folder to make the run again"));
        if (done.OutputHash is { } hash && OutputWriter.HashOf(folder.Output) != hash)
            throw new RunFolderException($"{folder.Output}: the tensors are not those of {RunFolder.ReportName} any more (SHA-256), so that no block can be kept; delete the folder to make the run again.");
        int first = redo.Blocks[0];
        BlockReport[] kept = [.. done.Blocks.Where(block => job.Recipe.LooksAtText ? block.Index < first : !redo.Blocks.Contains(block.Index))];
        if (kept.Length > 0 && done.Tuning is not null && !folder.HasUntuned)
            throw new RunFolderException($"{folder.Output}: what blocks were before the model was tuned is not kept there; make the run again in another folder.");
        Restore(job, redo.Before, folder, kept, cancellation);
        folder.WriteEffort(new RunEffort(done.Seconds, done.PeakMemoryBytes));
        folder.Reopen(after);
        string follow = job.Recipe.LooksAtText && redo.Blocks.Count < job.Model.Config.Layers - first ? ", with all that follow, as their inputs change" : "";
        observer.Note($"{(redo.Blocks.Count == 1 ? "block" : "blocks")} {BlockList.Text(redo.Blocks)} done again{follow}; {kept.Length} of {job.Model.Config.Layers} blocks are kept");
    }

    private static void Restore(QuantizeJob job, Recipe before, RunFolder folder, BlockReport[] kept, CancellationToken cancellation)
    {
        folder.DeleteBlocks();
        folder.MakeBlocks();
        if (kept.Length == 0) return;
        using var result = new CausalModel(CheckpointOpener.Open(folder.Output), job.Model.Device);
        var store = new CompressedBlockStore(before.Scheme, before.Method.PlansModel ? ModelPlan.TryRead(folder.Work) : null, before.FactorBits);
        var blocks = new FinishedBlocks(result, job.Model, folder, store);
        foreach (BlockReport block in kept)
        {
            cancellation.ThrowIfCancellationRequested();
            blocks.Restore(block);
        }
    }
}
