"""Metrics: how good a restored face is, and how sure that number is. PSNR and SSIM are a chapter, `aminet.protocol`.

measure.py: every metric of an image by its name.
vif.py: VIF and VIFp, the visual information that is kept.
recognition.py: whether restored probes are recognised among a gallery (Table IX).
perceptual.py: LPIPS, the identity of a face, and FID, by pretrained networks.
landmarks.py: 68 landmarks, their error and the pose of the head, by a pretrained network.
parsing.py: which part of a face each pixel is, by BiSeNet, and how far two parsings agree.
pretrained.py: these networks (networks.yaml), their files found or downloaded, and checked.
yunet.py: OpenCV's face detector, for the landmarks by which faces are aligned.
statistics.py: means and differences with their intervals.
"""
